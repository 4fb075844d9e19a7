// Deterministic pseudo-random numbers derived from words. Stateless, so the order of calls does not
// matter.

/** Hashes words to 32 evenly distributed bits. */
function hashWords(words: readonly (string | number)[]): number {
  let hash = 0x811c9dc5;
  for (const character of words.join('\0')) {
    hash = Math.imul(hash ^ (character.codePointAt(0) ?? 0), 0x01000193);
  }
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

/** Between 0 and 1, excluding 1. */
export const random = (...words: (string | number)[]): number => hashWords(words) / 2 ** 32;

export const randomBetween = (low: number, high: number, ...words: (string | number)[]): number =>
  low + (high - low) * random(...words);

export const randomInt = (low: number, high: number, ...words: (string | number)[]): number =>
  Math.floor(randomBetween(low, high + 1, ...words));

/** Random characters of `alphabet`. */
export function randomText(alphabet: string, length: number, ...words: (string | number)[]): string {
  return Array.from(
    { length },
    (_, index) => alphabet[randomInt(0, alphabet.length - 1, ...words, index)],
  ).join('');
}

export const randomHex = (length: number, ...words: (string | number)[]): string =>
  randomText('0123456789abcdef', length, ...words);

export const randomDigest = (...words: (string | number)[]): string =>
  `sha256:${randomHex(64, 'digest', ...words)}`;

/** Returns a shuffled copy. */
export function shuffled<T>(list: readonly T[], ...words: (string | number)[]): T[] {
  return list
    .map((item, index) => ({ item, key: random(...words, index) }))
    .sort((a, b) => a.key - b.key)
    .map(({ item }) => item);
}
