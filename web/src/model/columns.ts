// Sorting of tables that are aggregated over all pulls. The order is kept in the URL.

/** Unknown values are undefined; they sort last in both directions. */
export type SortValue = number | string | undefined;

export interface SortableColumn<T> {
  key: string;
  sortValue: (item: T) => SortValue;
  /** True if the first click on the heading sorts in descending order. */
  descending?: boolean;
}

export interface SortOrder {
  key: string;
  descending: boolean;
}

/** Parses `-speed`; returns `fallback` if the text names no column. */
export function parseOrder(
  text: string | null,
  columns: readonly Pick<SortableColumn<never>, 'key'>[],
  fallback: SortOrder,
): SortOrder {
  const key = text?.replace(/^-/, '');
  return columns.some((column) => column.key === key)
    ? { key: key ?? '', descending: text?.startsWith('-') ?? false }
    : fallback;
}

export const formatOrder = ({ key, descending }: SortOrder): string => `${descending ? '-' : ''}${key}`;

/**
 * Returns the order after a click on a heading: the column's own direction first, then reversed.
 */
export function nextOrder<T>(order: SortOrder, { key, descending = false }: SortableColumn<T>): SortOrder {
  return { key, descending: order.key === key ? !order.descending : descending };
}

function compare(a: SortValue, b: SortValue): number {
  if (a === b) return 0;
  return (a as number) < (b as number) ? -1 : 1;
}

/** Sorts by the column; ties are in key order. */
export function sorted<T>(
  items: readonly T[],
  { key, descending }: SortOrder,
  columns: readonly SortableColumn<T>[],
  keyOf: (item: T) => string,
): T[] {
  const by = columns.find((column) => column.key === key)?.sortValue ?? keyOf;
  const direction = descending ? -1 : 1;
  const keyed = items.map((item) => ({ item, value: by(item), key: keyOf(item) }));
  keyed.sort((a, b) => {
    if (a.value === undefined || b.value === undefined) {
      return Number(a.value === undefined) - Number(b.value === undefined) || compare(a.key, b.key);
    }
    return compare(a.value, b.value) * direction || compare(a.key, b.key);
  });
  return keyed.map(({ item }) => item);
}

/** Keeps the previous order and appends new items, so that rows do not move under the pointer. */
export function keepOrder<T>(
  items: readonly T[],
  keyOf: (item: T) => string,
  previous: readonly string[],
): T[] {
  const rank = new Map(previous.map((key, index) => [key, index]));
  const at = (item: T): number => rank.get(keyOf(item)) ?? previous.length;
  return [...items].sort((a, b) => at(a) - at(b));
}

/** Compares flat objects. */
export function shallowEqual<T extends object>(a: T, b: T): boolean {
  const keys = Object.keys(a) as (keyof T)[];
  return keys.length === Object.keys(b).length && keys.every((key) => Object.is(a[key], b[key]));
}
