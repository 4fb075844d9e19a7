// A list that shows so many, and the rest when asked: a page of thousands of rows stays quick.

import { type ReactNode, useState } from 'react';
import styles from './More.module.css';

interface Props {
  ids: readonly string[];
  limit: number;
  /** `ended pulls` */
  what: string;
  children: (id: string, index: number) => ReactNode;
}

export function More({ ids, limit, what, children }: Props) {
  const [all, setAll] = useState(false);
  // A button that hides one row is worth less than the row.
  const cut = ids.length > limit + 1;
  return (
    <>
      {(all || !cut ? ids : ids.slice(0, limit)).map(children)}
      {cut && (
        <li className={styles.more}>
          <button type="button" onClick={() => setAll(!all)}>
            {all ? `Show only ${limit} ${what}` : `Show all ${ids.length.toLocaleString('en')} ${what}`}
          </button>
        </li>
      )}
    </>
  );
}
