// A sortable table of aggregates over all pulls. Renders a row again only if its item has changed,
// and shows rows in batches, so that thousands of rows stay fast.

import { type CSSProperties, memo, type ReactNode, useEffect, useMemo, useRef, useState } from 'react';
import {
  formatOrder,
  keepOrder,
  nextOrder,
  type SortableColumn,
  type SortOrder,
  shallowEqual,
  sorted,
} from '../model/columns';
import { count } from '../model/format';
import { updateQuery } from '../route';
import styles from './Table.module.css';

export interface Column<T> extends SortableColumn<T> {
  name: string;
  /** Tooltip of the heading. */
  title?: string;
  /** Right-aligned. */
  isNumeric?: boolean;
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
  order: SortOrder;
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
  const { label, columns, items, keyOf, order, open, detail, noun, rowAttributes } = props;
  const [shown, setShown] = useState(PAGE_SIZE);
  const isHovered = useRef(false);
  const previousKeys = useRef<readonly string[]>([]);
  const previousOrder = useRef(order);
  const ordered = useMemo(() => {
    const list = sorted(items, order, columns, keyOf);
    // Rows keep their order while the pointer or focus is in the table, unless the user changes the
    // order.
    const keepsOrder = isHovered.current && previousOrder.current === order;
    return keepsOrder ? keepOrder(list, keyOf, previousKeys.current) : list;
  }, [items, order, columns, keyOf]);
  useEffect(() => {
    previousKeys.current = ordered.map(keyOf);
    previousOrder.current = order;
  }, [ordered, order, keyOf]);
  const hiddenCount = ordered.length - shown;
  return (
    <>
      <table className={styles.table} aria-label={label}>
        <thead>
          <tr>
            {columns.map((column) => (
              <Heading key={column.key} column={column} order={order} />
            ))}
          </tr>
        </thead>
        <tbody
          onPointerEnter={() => {
            isHovered.current = true;
          }}
          onPointerLeave={() => {
            isHovered.current = false;
          }}
          onFocus={() => {
            isHovered.current = true;
          }}
          onBlur={() => {
            isHovered.current = false;
          }}
        >
          {ordered.slice(0, shown).map((item) => {
            const key = keyOf(item);
            return (
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
            );
          })}
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

function Heading<T>({ column, order }: { column: Column<T>; order: SortOrder }) {
  const isActive = order.key === column.key;
  const direction = isActive ? (order.descending ? 'descending' : 'ascending') : undefined;
  return (
    <th scope="col" aria-sort={direction} className={cellClass('heading', column)} style={widthStyle(column)}>
      <button
        type="button"
        title={column.title}
        onClick={() => updateQuery({ sort: formatOrder(nextOrder(order, column)) })}
      >
        {column.name}
        <i className={styles.way} aria-hidden="true">
          {isActive ? (order.descending ? '↓' : '↑') : ''}
        </i>
      </button>
    </th>
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
