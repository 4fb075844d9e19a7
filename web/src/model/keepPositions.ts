// Positions of list items that are kept across updates.

/** The position of each key. */
export const positionsOf = (keys: readonly string[]): Map<string, number> =>
  new Map(keys.map((key, index) => [key, index]));

/** Returns items in their previous positions, and new items, in their order, before them. */
export function keepPositions<T extends { key: string }>(
  found: readonly T[],
  previous: readonly string[],
): T[] {
  const positions = positionsOf(previous);
  return found.toSorted((a, b) => (positions.get(a.key) ?? -1) - (positions.get(b.key) ?? -1));
}
