// Actions of a detail page: its state, a link to copy, and a jump to the commands.

import { type ReactNode, type RefObject, useRef } from 'react';
import type { CommandGroup } from '../model/commands';
import styles from './Actions.module.css';
import { CommandList } from './CommandList';
import { Copy } from './Copy';
import { Icon } from './Icon';
import { Panel } from './Panel';

/** Returns a ref, and a function that scrolls to it and focuses it. */
export function useScrollTarget(): [target: RefObject<HTMLDivElement | null>, scrollToTarget: () => void] {
  const target = useRef<HTMLDivElement>(null);
  const scrollToTarget = () => {
    target.current?.scrollIntoView({ block: 'center' });
    target.current?.focus({ preventScroll: true });
  };
  return [target, scrollToTarget];
}

export function Actions({ showCommands, children }: { showCommands: () => void; children: ReactNode }) {
  return (
    <div className={styles.actions}>
      {children}
      <Copy text={window.location.href} label="Copy link to this page" icon="link">
        Link
      </Copy>
      <button type="button" className={styles.jump} onClick={showCommands}>
        <Icon name="command" size={13} />
        Commands
      </button>
    </div>
  );
}

interface PanelProps {
  target: RefObject<HTMLDivElement | null>;
  commands: readonly CommandGroup[];
  className?: string | undefined;
}

export function CommandPanel({ target, commands, className = '' }: PanelProps) {
  return (
    <div ref={target} tabIndex={-1} className={`${styles.commands} ${className}`}>
      <Panel title="Commands">
        <CommandList commands={commands} />
      </Panel>
    </div>
  );
}
