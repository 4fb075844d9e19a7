// A button that copies text to the clipboard and confirms it.

import { useEffect, useState } from 'react';
import styles from './Copy.module.css';
import { Icon, type IconName } from './Icon';

const FEEDBACK_MS = 1_600;

interface Props {
  /** The text to copy. */
  text: string;
  /** The accessible name: `Copy digest`. */
  label: string;
  /** The visible text beside the icon. */
  children?: string;
  icon?: IconName;
}

/** Without TLS there is no clipboard API; falls back to copying a selection. */
async function copyToClipboard(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = document.createElement('textarea');
    area.value = text;
    area.className = 'hidden';
    document.body.append(area);
    const focused = document.activeElement;
    area.select();
    const isCopied = document.execCommand?.('copy') ?? false;
    area.remove();
    if (focused instanceof HTMLElement) focused.focus();
    return isCopied;
  }
}

export function Copy({ text, label, children, icon = 'copy' }: Props) {
  const [outcome, setOutcome] = useState<'copied' | 'refused'>();
  useEffect(() => {
    if (outcome === undefined) return;
    const timer = setTimeout(() => setOutcome(undefined), FEEDBACK_MS);
    return () => clearTimeout(timer);
  }, [outcome]);
  const buttonText = outcome === 'copied' ? 'Copied' : outcome === 'refused' ? 'Blocked' : children;
  return (
    <button
      type="button"
      className={children === undefined ? styles.small : styles.button}
      // The accessible name must start with the visible text.
      aria-label={children === undefined ? label : `${children}: ${label}`}
      title={label}
      onClick={() =>
        void copyToClipboard(text).then((isCopied) => setOutcome(isCopied ? 'copied' : 'refused'))
      }
    >
      <Icon name={outcome === 'copied' ? 'completed' : outcome === 'refused' ? 'failed' : icon} size={13} />
      {children !== undefined && <span>{buttonText}</span>}
      <span className="hidden" role="status">
        {outcome === 'copied' ? 'Copied' : outcome === 'refused' ? 'Blocked by the browser' : ''}
      </span>
    </button>
  );
}
