// Puts a text on the clipboard, and says that it did.

import { useEffect, useState } from 'react';
import styles from './Copy.module.css';
import { Icon, type IconName } from './Icon';

const SAID_MS = 1_600;

interface Props {
  /** What is copied. */
  text: string;
  /** What is read out: `Copy the digest`. */
  label: string;
  /** What is seen beside the icon. */
  children?: string;
  icon?: IconName;
}

/** Without TLS a browser has no clipboard of its own: then a selection is copied as a person would. */
async function copy(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = document.createElement('textarea');
    area.value = text;
    area.className = 'hidden';
    document.body.append(area);
    const before = document.activeElement;
    area.select();
    const done = document.execCommand?.('copy') ?? false;
    area.remove();
    if (before instanceof HTMLElement) before.focus();
    return done;
  }
}

export function Copy({ text, label, children, icon = 'copy' }: Props) {
  const [said, say] = useState<'copied' | 'refused'>();
  useEffect(() => {
    if (said === undefined) return;
    const timer = setTimeout(() => say(undefined), SAID_MS);
    return () => clearTimeout(timer);
  }, [said]);
  const words = said === 'copied' ? 'Copied' : said === 'refused' ? 'Not allowed' : children;
  return (
    <button
      type="button"
      className={children === undefined ? styles.small : styles.button}
      // Its name begins with what is seen.
      aria-label={children === undefined ? label : `${children}: ${label}`}
      title={label}
      onClick={() => void copy(text).then((done) => say(done ? 'copied' : 'refused'))}
    >
      <Icon name={said === 'copied' ? 'completed' : said === 'refused' ? 'failed' : icon} size={13} />
      {children !== undefined && <span>{words}</span>}
      <span className="hidden" role="status">
        {said === 'copied' ? 'Copied' : said === 'refused' ? 'The browser does not allow it' : ''}
      </span>
    </button>
  );
}
