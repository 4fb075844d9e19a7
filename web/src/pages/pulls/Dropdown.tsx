// A button with a dropdown panel, which closes on clicks or focus outside.

import { type ReactNode, useEffect, useId, useRef, useState } from 'react';
import { Icon, type IconName } from '../../ui/Icon';
import styles from './Dropdown.module.css';

interface Props {
  label: string;
  icon: IconName;
  /** Shows the label, which is otherwise only accessible. */
  showLabel?: boolean;
  children: (close: () => void) => ReactNode;
}

export function Dropdown({ label, icon, showLabel, children }: Props) {
  const [open, setOpen] = useState(false);
  const id = useId();
  const container = useRef<HTMLDivElement>(null);
  const button = useRef<HTMLButtonElement>(null);
  const close = () => {
    setOpen(false);
    button.current?.focus();
  };
  useEffect(() => {
    if (!open) return;
    const closeIfOutside = (event: Event) => {
      if (!container.current?.contains(event.target as Node)) setOpen(false);
    };
    document.addEventListener('pointerdown', closeIfOutside);
    document.addEventListener('focusin', closeIfOutside);
    return () => {
      document.removeEventListener('pointerdown', closeIfOutside);
      document.removeEventListener('focusin', closeIfOutside);
    };
  }, [open]);
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: handles Escape for the elements inside.
    <div
      className={styles.drop}
      ref={container}
      onKeyDown={(event) => {
        if (event.key !== 'Escape' || !open) return;
        event.stopPropagation();
        close();
      }}
    >
      <button
        type="button"
        ref={button}
        className={`${styles.button} ${showLabel ? '' : styles.bare}`}
        aria-expanded={open}
        aria-controls={id}
        aria-label={label}
        title={showLabel ? undefined : label}
        onClick={() => setOpen(!open)}
      >
        <Icon name={icon} size={15} />
        {showLabel && <span className={styles.words}>{label}</span>}
      </button>
      <div id={id} className={styles.panel} hidden={!open}>
        {open && children(close)}
      </div>
    </div>
  );
}
