// Tables of things that are worked out over all pulls: ordered by one of their columns, as the address says it.

/** What is unknown is undefined, and comes last whichever way. */
export type Value = number | string | undefined;

export interface Sortable<T> {
  key: string;
  by: (item: T) => Value;
  /** Whether an order by it begins with the largest. */
  down?: boolean;
}

export interface Order {
  key: string;
  down: boolean;
}

/** `-speed`; `usual` of what names no column. */
export function parseOrder(
  text: string | null,
  columns: readonly Pick<Sortable<never>, 'key'>[],
  usual: Order,
): Order {
  const key = text?.replace(/^-/, '');
  return columns.some((column) => column.key === key)
    ? { key: key ?? '', down: text?.startsWith('-') ?? false }
    : usual;
}

export const orderText = ({ key, down }: Order): string => `${down ? '-' : ''}${key}`;

/** What a click on a column's heading asks for: its own order first, then the other way. */
export function nextOrder<T>(order: Order, { key, down = false }: Sortable<T>): Order {
  return { key, down: order.key === key ? !order.down : down };
}

function compare(a: Value, b: Value): number {
  if (a === b) return 0;
  return (a as number) < (b as number) ? -1 : 1;
}

/** What is equal stays in the order of its keys. */
export function sorted<T>(
  items: readonly T[],
  { key, down }: Order,
  columns: readonly Sortable<T>[],
  keyOf: (item: T) => string,
): T[] {
  const by = columns.find((column) => column.key === key)?.by ?? keyOf;
  const turn = down ? -1 : 1;
  const keyed = items.map((item) => ({ item, value: by(item), key: keyOf(item) }));
  keyed.sort((a, b) => {
    if (a.value === undefined || b.value === undefined) {
      return Number(a.value === undefined) - Number(b.value === undefined) || compare(a.key, b.key);
    }
    return compare(a.value, b.value) * turn || compare(a.key, b.key);
  });
  return keyed.map(({ item }) => item);
}

/** As they stood before, what is new at the end: rows must not move away from under a pointer. */
export function steady<T>(items: readonly T[], keyOf: (item: T) => string, before: readonly string[]): T[] {
  const rank = new Map(before.map((key, index) => [key, index]));
  const at = (item: T): number => rank.get(keyOf(item)) ?? before.length;
  return [...items].sort((a, b) => at(a) - at(b));
}

/** Whether two of them say the same: those are flat. */
export function same<T extends object>(a: T, b: T): boolean {
  const keys = Object.keys(a) as (keyof T)[];
  return keys.length === Object.keys(b).length && keys.every((key) => Object.is(a[key], b[key]));
}
