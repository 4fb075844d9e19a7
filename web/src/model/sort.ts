// Sorting of tables by a column. The order is kept in the URL.

/** Unknown values are undefined; they sort last in both directions. */
export type SortValue = number | string | undefined;

export interface Sort<Key extends string = string> {
  key: Key;
  descending: boolean;
}

export interface SortableColumn<Key extends string = string> {
  key: Key;
  /** True if the first click on the heading sorts in descending order. */
  descending?: boolean;
}

/** Parses `-speed`; undefined if the text names no column. */
export function parseSort<Key extends string>(
  text: string | null,
  columns: readonly { key: Key }[],
): Sort<Key> | undefined {
  const key = columns.find((column) => column.key === text?.replace(/^-/, ''))?.key;
  return key && { key, descending: text?.startsWith('-') ?? false };
}

export const formatSort = (sort: Sort | undefined): string | undefined =>
  sort && `${sort.descending ? '-' : ''}${sort.key}`;

/**
 * Returns the order after a click on a heading: its own direction first, then reversed, then, if
 * `isOptional`, undefined: the table's default order.
 */
export function nextSort<Key extends string>(
  sort: Sort | undefined,
  { key, descending = false }: SortableColumn<Key>,
  isOptional = false,
): Sort<Key> | undefined {
  if (sort?.key !== key) return { key, descending };
  return isOptional && sort.descending !== descending ? undefined : { key, descending: !sort.descending };
}

function compare(a: SortValue, b: SortValue, direction: 1 | -1 = 1): number {
  if (a === b) return 0;
  if (a === undefined) return 1;
  if (b === undefined) return -1;
  return a < b ? -direction : direction;
}

export interface SortOptions<T> {
  keyOf: (item: T) => string;
  /** The value to sort by; all are equal without one. */
  value?: ((item: T) => SortValue) | undefined;
  descending?: boolean | undefined;
  /** Order of items with equal values; by key without one. */
  tieBreaker?: (item: T) => number;
  /** Positions to keep; items without one follow. */
  positions?: ReadonlyMap<string, number> | undefined;
}

/** Sorts items, computing each value once. */
export function sortItems<T>(
  items: readonly T[],
  { keyOf, value, descending, tieBreaker, positions }: SortOptions<T>,
): { item: T; key: string }[] {
  const direction = descending ? -1 : 1;
  const keyed = items.map((item) => {
    const key = keyOf(item);
    const position = positions?.get(key) ?? Number.MAX_SAFE_INTEGER;
    return { item, key, position, value: value?.(item), tie: tieBreaker?.(item) ?? 0 };
  });
  return keyed.sort(
    (a, b) =>
      a.position - b.position ||
      compare(a.value, b.value, direction) ||
      a.tie - b.tie ||
      compare(a.key, b.key),
  );
}
