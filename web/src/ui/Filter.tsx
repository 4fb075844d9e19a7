// A field that leaves of a list what has these words. What is typed is in the address a moment later.

import { useEffect, useId, useRef, useState } from 'react';
import { look } from '../route';
import styles from './Filter.module.css';
import { Icon } from './Icon';

/** The address follows typing, not the other way: it would lose letters. */
const SETTLE_MS = 120;

export function Filter({ label, value }: { label: string; value: string }) {
  const id = useId();
  const [text, setText] = useState(value);
  const asked = useRef(value);
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  // A link or the way back says another one.
  useEffect(() => {
    if (value === asked.current) return;
    asked.current = value;
    setText(value);
  }, [value]);
  useEffect(() => () => clearTimeout(timer.current), []);
  const type = (next: string) => {
    setText(next);
    clearTimeout(timer.current);
    timer.current = setTimeout(() => {
      asked.current = next.trim();
      look({ q: asked.current });
    }, SETTLE_MS);
  };
  return (
    <span className={styles.filter}>
      <Icon name="search" size={14} />
      <label htmlFor={id} className="hidden">
        {label}
      </label>
      <input
        id={id}
        type="search"
        placeholder={label}
        autoComplete="off"
        spellCheck={false}
        value={text}
        onChange={(event) => type(event.target.value)}
      />
    </span>
  );
}

/** In small letters. */
export const wordsOf = (text: string | null): string[] =>
  (text ?? '').toLowerCase().split(/\s+/).filter(Boolean);
