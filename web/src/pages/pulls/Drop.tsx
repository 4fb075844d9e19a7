// A button that opens a small panel below it, which closes when somebody goes elsewhere.

import { type ReactNode, useEffect, useId, useRef, useState } from 'react';
import { Icon, type IconName } from '../../ui/Icon';
import styles from './Drop.module.css';

interface Props {
  label: string;
  icon: IconName;
  /** Whether the label is seen, and not only read out. */
  words?: boolean;
  children: (close: () => void) => ReactNode;
}

export function Drop({ label, icon, words, children }: Props) {
  const [open, setOpen] = useState(false);
  const id = useId();
  const whole = useRef<HTMLDivElement>(null);
  const button = useRef<HTMLButtonElement>(null);
  const close = () => {
    setOpen(false);
    button.current?.focus();
  };
  useEffect(() => {
    if (!open) return;
    const elsewhere = (event: Event) => {
      if (!whole.current?.contains(event.target as Node)) setOpen(false);
    };
    document.addEventListener('pointerdown', elsewhere);
    document.addEventListener('focusin', elsewhere);
    return () => {
      document.removeEventListener('pointerdown', elsewhere);
      document.removeEventListener('focusin', elsewhere);
    };
  }, [open]);
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: Escape closes from wherever the focus is in it.
    <div
      className={styles.drop}
      ref={whole}
      onKeyDown={(event) => {
        if (event.key !== 'Escape' || !open) return;
        event.stopPropagation();
        close();
      }}
    >
      <button
        type="button"
        ref={button}
        className={`${styles.button} ${words ? '' : styles.bare}`}
        aria-expanded={open}
        aria-controls={id}
        aria-label={label}
        title={words ? undefined : label}
        onClick={() => setOpen(!open)}
      >
        <Icon name={icon} size={15} />
        {words && <span className={styles.words}>{label}</span>}
      </button>
      <div id={id} className={styles.panel} hidden={!open}>
        {open && children(close)}
      </div>
    </div>
  );
}
