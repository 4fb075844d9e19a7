// A field that leaves of a list what has these words. What is typed is in the address a moment later.

import { useId } from 'react';
import styles from './Filter.module.css';
import { useFilterText } from './filterText';
import { Icon } from './Icon';

export function Filter({ label, value }: { label: string; value: string }) {
  const id = useId();
  const [text, type] = useFilterText(value);
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
