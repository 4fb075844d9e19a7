// Where things of a list stand that comes in another order each time.

/**
 * The same things, those that were there `before` in the places that they had, and new ones above them. `before` is
 * their keys.
 */
export function stay<T extends { key: string }>(found: readonly T[], before: readonly string[]): T[] {
  const places = new Map(before.map((key, place) => [key, place]));
  // New ones keep their order among themselves, as sorting is stable.
  return [...found].sort((a, b) => (places.get(a.key) ?? -1) - (places.get(b.key) ?? -1));
}
