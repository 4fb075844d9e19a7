// A text field that filters a list. The text is written to the URL, debounced.

import { useId } from 'react';
import styles from './Filter.module.css';
import { useFilterInput } from './filterText';
import { Icon } from './Icon';

export function Filter({ label, value }: { label: string; value: string }) {
  const id = useId();
  const [text, setQuery] = useFilterInput(value);
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
        onChange={(event) => setQuery(event.target.value)}
      />
    </span>
  );
}

/** Splits into lower-case words. */
export const splitWords = (text: string | null): string[] =>
  (text ?? '').toLowerCase().split(/\s+/).filter(Boolean);
