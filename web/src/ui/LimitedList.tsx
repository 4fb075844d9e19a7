// A list that shows up to `limit` items and the rest on demand, since pages with thousands of rows
// are slow. Prints all items.

import { type ReactNode, useState, useSyncExternalStore } from 'react';
import styles from './LimitedList.module.css';

interface Props {
  ids: readonly string[];
  limit: number;
  /** `ended pulls` */
  noun: string;
  children: (id: string, index: number) => ReactNode;
}

let printRequested = false;

function onPrinting(listener: () => void): () => void {
  const onPrintEvent = (event: Event) => {
    printRequested = event.type === 'beforeprint';
    listener();
  };
  window.addEventListener('beforeprint', onPrintEvent);
  window.addEventListener('afterprint', onPrintEvent);
  return () => {
    window.removeEventListener('beforeprint', onPrintEvent);
    window.removeEventListener('afterprint', onPrintEvent);
  };
}

export function LimitedList({ ids, limit, noun, children }: Props) {
  const [isExpanded, setExpanded] = useState(false);
  const isPrinting = useSyncExternalStore(onPrinting, () => printRequested);
  // A button that hides a single row would take as much space as the row.
  const isTruncated = ids.length > limit + 1;
  return (
    <>
      {(isExpanded || isPrinting || !isTruncated ? ids : ids.slice(0, limit)).map(children)}
      {isTruncated && !isPrinting && (
        <li className={styles.more}>
          <button type="button" onClick={() => setExpanded(!isExpanded)}>
            {isExpanded
              ? `Show only ${limit} ${noun}`
              : `Show all ${ids.length.toLocaleString('en')} ${noun}`}
          </button>
        </li>
      )}
    </>
  );
}
