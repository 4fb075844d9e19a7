// A table of things that are worked out over all pulls. Its headings order it; it draws a row again when that says
// something else, and shows so many at first that a page of ten thousand stays quick.

import { type CSSProperties, memo, type ReactNode, useEffect, useMemo, useRef, useState } from 'react';
import { nextOrder, type Order, orderText, type Sortable, same, sorted, steady } from '../model/columns';
import { count } from '../model/format';
import { look } from '../route';
import styles from './Table.module.css';

export interface Column<T> extends Sortable<T> {
  name: string;
  /** What the heading says in full. */
  title?: string;
  /** Figures stand at the right. */
  figure?: boolean;
  /** On a narrow screen it gives way: at `wide` first, on a phone at `middle` too. */
  needs?: 'wide' | 'middle';
  /** In pixels; those without one share what is left. */
  width?: number;
  cell: (item: T, open: boolean) => ReactNode;
}

interface Props<T> {
  label: string;
  /** The first one names the row. */
  columns: readonly Column<T>[];
  items: readonly T[];
  keyOf: (item: T) => string;
  order: Order;
  /** Which row is open, and what is under it then. */
  open?: string | undefined;
  detail?: (item: T) => ReactNode;
  /** `image`, `images` */
  what: readonly [one: string, many: string];
  rowOf?: (item: T) => Record<`data-${string}`, string | undefined>;
}

/** So many are shown, and so many more each time that somebody asks. */
export const SHOWN = 200;

export function Table<T extends object>(props: Props<T>) {
  const { label, columns, items, keyOf, order, open, detail, what, rowOf } = props;
  const [shown, setShown] = useState(SHOWN);
  const held = useRef(false);
  const before = useRef<readonly string[]>([]);
  const asked = useRef(order);
  const ordered = useMemo(() => {
    const list = sorted(items, order, columns, keyOf);
    // Rows do not move while somebody points at one, unless that is what was asked for.
    const stay = held.current && asked.current === order;
    return stay ? steady(list, keyOf, before.current) : list;
  }, [items, order, columns, keyOf]);
  useEffect(() => {
    before.current = ordered.map(keyOf);
    asked.current = order;
  }, [ordered, order, keyOf]);
  const more = ordered.length - shown;
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
            held.current = true;
          }}
          onPointerLeave={() => {
            held.current = false;
          }}
          onFocus={() => {
            held.current = true;
          }}
          onBlur={() => {
            held.current = false;
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
                rowOf={rowOf as ((item: never) => Record<string, string | undefined>) | undefined}
              />
            );
          })}
        </tbody>
      </table>
      {more > 0 && (
        <p className={styles.more}>
          <button type="button" onClick={() => setShown(shown + SHOWN)}>
            Show {Math.min(more, SHOWN).toLocaleString('en')} more
          </button>
          <span>
            {shown.toLocaleString('en')} of {count(ordered.length, ...what)}
          </span>
        </p>
      )}
    </>
  );
}

function Heading<T>({ column, order }: { column: Column<T>; order: Order }) {
  const on = order.key === column.key;
  const way = on ? (order.down ? 'descending' : 'ascending') : undefined;
  return (
    <th scope="col" aria-sort={way} className={placing('heading', column)} style={widthOf(column)}>
      <button
        type="button"
        title={column.title}
        onClick={() => look({ sort: orderText(nextOrder(order, column)) })}
      >
        {column.name}
        <i className={styles.way} aria-hidden="true">
          {on ? (order.down ? '↓' : '↑') : ''}
        </i>
      </button>
    </th>
  );
}

const placing = (
  part: 'heading' | 'cell',
  { figure, needs }: Pick<Column<never>, 'figure' | 'needs'>,
): string => [styles[part], figure && styles.figure, needs && styles[needs]].filter(Boolean).join(' ');

const widthOf = ({ width }: { width?: number }): CSSProperties =>
  ({ '--width': width === undefined ? 'auto' : `${width}px` }) as CSSProperties;

interface RowProps {
  item: object;
  columns: readonly Column<never>[];
  open: boolean;
  detail: ReactNode;
  rowOf: ((item: never) => Record<string, string | undefined>) | undefined;
}

const Row = memo(
  ({ item, columns, open, detail, rowOf }: RowProps) => (
    <>
      <tr className={`${styles.row} ${open ? styles.open : ''}`} {...rowOf?.(item as never)}>
        {columns.map((column, index) => {
          const cell = column.cell(item as never, open);
          return index === 0 ? (
            <th key={column.key} scope="row" className={placing('cell', column)}>
              {cell}
            </th>
          ) : (
            <td key={column.key} className={placing('cell', column)}>
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
  (a, b) => a.open === b.open && !b.open && a.columns === b.columns && same(a.item, b.item),
);

/** Stands where a table will be: nothing is known yet. */
export function TableSkeleton() {
  return (
    <div className={styles.skeleton} aria-hidden="true" data-message="loading">
      {['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'].map((row) => (
        <i key={row} />
      ))}
    </div>
  );
}
