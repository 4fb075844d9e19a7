// What can be done with the thing that a page is of: how it stands, its link, and the way to its commands.

import { type ReactNode, type RefObject, useRef } from 'react';
import type { Commands } from '../model/commands';
import styles from './Actions.module.css';
import { CommandList } from './CommandList';
import { Copy } from './Copy';
import { Icon } from './Icon';
import { Panel } from './Panel';

/** A place further down, and the way to it. */
export function useJump(): [at: RefObject<HTMLDivElement | null>, jump: () => void] {
  const at = useRef<HTMLDivElement>(null);
  const jump = () => {
    at.current?.scrollIntoView({ block: 'center' });
    at.current?.focus({ preventScroll: true });
  };
  return [at, jump];
}

export function Actions({ toCommands, children }: { toCommands: () => void; children: ReactNode }) {
  return (
    <div className={styles.actions}>
      {children}
      <Copy text={window.location.href} label="Copy the address of this page" icon="link">
        Link
      </Copy>
      <button type="button" className={styles.jump} onClick={toCommands}>
        <Icon name="command" size={13} />
        Commands
      </button>
    </div>
  );
}

interface PanelProps {
  at: RefObject<HTMLDivElement | null>;
  commands: readonly Commands[];
  className?: string | undefined;
}

export function CommandPanel({ at, commands, className = '' }: PanelProps) {
  return (
    <div ref={at} tabIndex={-1} className={`${styles.commands} ${className}`}>
      <Panel title="Commands">
        <CommandList commands={commands} />
      </Panel>
    </div>
  );
}
