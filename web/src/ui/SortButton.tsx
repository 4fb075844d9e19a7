// The button in a column heading. It sorts by the column; the order is kept in the URL.

import { formatSort, nextSort, type Sort, type SortableColumn } from '../model/sort';
import { updateQuery } from '../route';
import styles from './SortButton.module.css';

/** The heading of a column. */
export interface Heading<Key extends string = string> extends SortableColumn<Key> {
  name: string;
  /** Tooltip. */
  title?: string;
  /** Right-aligned. */
  isNumeric?: boolean;
}

interface Props {
  heading: Heading;
  sort: Sort | undefined;
  /** A third click returns to the table's default order. */
  isOptional?: boolean;
}

/** The `aria-sort` of the element around the button. */
export const ariaSort = (key: string, sort: Sort | undefined): 'ascending' | 'descending' | undefined =>
  sort?.key !== key ? undefined : sort.descending ? 'descending' : 'ascending';

export function SortButton({ heading, sort, isOptional }: Props) {
  const direction = ariaSort(heading.key, sort);
  return (
    <button
      type="button"
      className={`${styles.button} ${heading.isNumeric ? styles.before : ''}`}
      title={heading.title}
      onClick={() => updateQuery({ sort: formatSort(nextSort(sort, heading, isOptional)) })}
    >
      <span>{heading.name}</span>
      <i className={styles.arrow} aria-hidden="true">
        {direction && (direction === 'descending' ? '↓' : '↑')}
      </i>
    </button>
  );
}
