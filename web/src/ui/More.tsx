// A list that shows so many, and the rest when asked: a page of thousands of rows stays quick. On paper it is whole.

import { type ReactNode, useState, useSyncExternalStore } from 'react';
import styles from './More.module.css';

interface Props {
  ids: readonly string[];
  limit: number;
  /** `ended pulls` */
  what: string;
  children: (id: string, index: number) => ReactNode;
}

let printing = false;

function onPrinting(listener: () => void): () => void {
  const turn = (event: Event) => {
    printing = event.type === 'beforeprint';
    listener();
  };
  window.addEventListener('beforeprint', turn);
  window.addEventListener('afterprint', turn);
  return () => {
    window.removeEventListener('beforeprint', turn);
    window.removeEventListener('afterprint', turn);
  };
}

export function More({ ids, limit, what, children }: Props) {
  const [all, setAll] = useState(false);
  const paper = useSyncExternalStore(onPrinting, () => printing);
  // A button that hides one row is worth less than the row.
  const cut = ids.length > limit + 1;
  return (
    <>
      {(all || paper || !cut ? ids : ids.slice(0, limit)).map(children)}
      {cut && !paper && (
        <li className={styles.more}>
          <button type="button" onClick={() => setAll(!all)}>
            {all ? `Show only ${limit} ${what}` : `Show all ${ids.length.toLocaleString('en')} ${what}`}
          </button>
        </li>
      )}
    </>
  );
}
