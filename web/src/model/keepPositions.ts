// Keeps the positions of list items across updates.

/**
 * Returns items in their previous positions and new items before them. `previous` holds the keys.
 */
export function keepPositions<T extends { key: string }>(
  found: readonly T[],
  previous: readonly string[],
): T[] {
  const positions = new Map(previous.map((key, place) => [key, place]));
  // The sort is stable, so new items keep their order.
  return [...found].sort((a, b) => (positions.get(a.key) ?? -1) - (positions.get(b.key) ?? -1));
}
