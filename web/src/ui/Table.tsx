// A sortable table of aggregates over all pulls. Renders a row again only if its item has changed,
// and shows rows in batches, so that thousands of rows stay fast.

import {
  type CSSProperties,
  memo,
  type ReactNode,
  useCallback,
  useEffect,
  useMemo,
  useRef,
  useState,
} from 'react';
import { count } from '../model/format';
import { positionsOf } from '../model/keepPositions';
import { type Sort, type SortValue, sortItems } from '../model/sort';
import { ariaSort, type Heading, SortButton } from './SortButton';
import styles from './Table.module.css';
import { useFreeze } from './useFreeze';

export interface Column<T> extends Heading {
  sortValue: (item: T) => SortValue;
  /**
   * Columns that need space: `wide` ones are hidden on narrow screens, `middle` ones only on
   * phones.
   */
  needs?: 'wide' | 'middle';
  /** In pixels; columns without a width share the rest. */
  width?: number;
  cell: (item: T, open: boolean) => ReactNode;
}

interface Props<T> {
  label: string;
  /** The first one is the row header. */
  columns: readonly Column<T>[];
  items: readonly T[];
  keyOf: (item: T) => string;
  sort: Sort;
  /** The key of the expanded row, and its details. */
  open?: string | undefined;
  detail?: (item: T) => ReactNode;
  /** `image`, `images` */
  noun: readonly [one: string, many: string];
  rowAttributes?: (item: T) => Record<`data-${string}`, string | undefined>;
}

/** Rows shown at first, and added by each "Show more". */
export const PAGE_SIZE = 200;

export function Table<T extends object>(props: Props<T>) {
  const { label, columns, items, keyOf, sort, open, detail, noun, rowAttributes } = props;
  const [shown, setShown] = useState(PAGE_SIZE);
  const body = useRef<HTMLTableSectionElement>(null);
  const isFrozen = useRef(false);
  const freezeEvents = useFreeze(
    useCallback((on: boolean) => {
      isFrozen.current = on;
    }, []),
    body,
  );
  const previous = useRef<{ sort: Sort; keys: readonly string[] }>({ sort, keys: [] });
  const ordered = useMemo(() => {
    // Rows keep their positions while in use; a new sort order applies at once.
    const keepsOrder = isFrozen.current && previous.current.sort === sort;
    return sortItems(items, {
      keyOf,
      value: columns.find(({ key }) => key === sort.key)?.sortValue,
      descending: sort.descending,
      positions: keepsOrder ? positionsOf(previous.current.keys) : undefined,
    });
  }, [items, sort, columns, keyOf]);
  useEffect(() => {
    previous.current = { sort, keys: ordered.map(({ key }) => key) };
  }, [ordered, sort]);
  const hiddenCount = ordered.length - shown;
  return (
    <>
      <table className={styles.table} aria-label={label}>
        <thead>
          <tr>
            {columns.map((column) => (
              <th
                key={column.key}
                scope="col"
                aria-sort={ariaSort(column.key, sort)}
                className={cellClass('heading', column)}
                style={widthStyle(column)}
              >
                <SortButton heading={column} sort={sort} />
              </th>
            ))}
          </tr>
        </thead>
        <tbody ref={body} {...freezeEvents}>
          {ordered.slice(0, shown).map(({ item, key }) => (
            <Row
              key={key}
              item={item}
              columns={columns as readonly Column<never>[]}
              detail={key === open ? detail?.(item) : undefined}
              open={key === open}
              rowAttributes={
                rowAttributes as ((item: never) => Record<string, string | undefined>) | undefined
              }
            />
          ))}
        </tbody>
      </table>
      {hiddenCount > 0 && (
        <p className={styles.more}>
          <button type="button" onClick={() => setShown(shown + PAGE_SIZE)}>
            Show {Math.min(hiddenCount, PAGE_SIZE).toLocaleString('en')} more
          </button>
          <span>
            {shown.toLocaleString('en')} of {count(ordered.length, ...noun)}
          </span>
        </p>
      )}
    </>
  );
}

const cellClass = (
  part: 'heading' | 'cell',
  { isNumeric, needs }: Pick<Column<never>, 'isNumeric' | 'needs'>,
): string => [styles[part], isNumeric && styles.figure, needs && styles[needs]].filter(Boolean).join(' ');

const widthStyle = ({ width }: { width?: number }): CSSProperties =>
  ({ '--width': width === undefined ? 'auto' : `${width}px` }) as CSSProperties;

interface RowProps {
  item: object;
  columns: readonly Column<never>[];
  open: boolean;
  detail: ReactNode;
  rowAttributes: ((item: never) => Record<string, string | undefined>) | undefined;
}

const Row = memo(
  ({ item, columns, open, detail, rowAttributes }: RowProps) => (
    <>
      <tr className={`${styles.row} ${open ? styles.open : ''}`} {...rowAttributes?.(item as never)}>
        {columns.map((column, index) => {
          const cell = column.cell(item as never, open);
          return index === 0 ? (
            <th key={column.key} scope="row" className={cellClass('cell', column)}>
              {cell}
            </th>
          ) : (
            <td key={column.key} className={cellClass('cell', column)}>
              {cell}
            </td>
          );
        })}
      </tr>
      {open && detail !== undefined && (
        <tr>
          <td className={styles.detail} colSpan={columns.length}>
            {detail}
          </td>
        </tr>
      )}
    </>
  ),
  (a, b) => a.open === b.open && !b.open && a.columns === b.columns && shallowEqual(a.item, b.item),
);

/** Compares flat objects. */
export function shallowEqual<T extends object>(a: T, b: T): boolean {
  const keys = Object.keys(a) as (keyof T)[];
  return keys.length === Object.keys(b).length && keys.every((key) => Object.is(a[key], b[key]));
}

/** A placeholder until data is loaded. */
export function TableSkeleton() {
  return (
    <div className={styles.skeleton} aria-hidden="true" data-message="loading">
      {['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'].map((row) => (
        <i key={row} />
      ))}
    </div>
  );
}
