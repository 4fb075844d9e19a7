// Chance that is always the same: a number for some words, and no state that the order of asking could change.

/** A number of 32 bits for these words, spread evenly. */
function mixed(words: readonly (string | number)[]): number {
  let hash = 0x811c9dc5;
  for (const character of words.join('\0')) {
    hash = Math.imul(hash ^ (character.codePointAt(0) ?? 0), 0x01000193);
  }
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

/** 0 to 1, without 1. */
export const chance = (...words: (string | number)[]): number => mixed(words) / 2 ** 32;

export const between = (low: number, high: number, ...words: (string | number)[]): number =>
  low + (high - low) * chance(...words);

export const whole = (low: number, high: number, ...words: (string | number)[]): number =>
  Math.floor(between(low, high + 1, ...words));

/** So many characters of `alphabet`. */
export function letters(alphabet: string, length: number, ...words: (string | number)[]): string {
  return Array.from({ length }, (_, index) => alphabet[whole(0, alphabet.length - 1, ...words, index)]).join(
    '',
  );
}

export const hex = (length: number, ...words: (string | number)[]): string =>
  letters('0123456789abcdef', length, ...words);

export const digest = (...words: (string | number)[]): string => `sha256:${hex(64, 'digest', ...words)}`;

/** In another order. */
export function shuffled<T>(list: readonly T[], ...words: (string | number)[]): T[] {
  return list
    .map((item, index) => ({ item, key: chance(...words, index) }))
    .sort((a, b) => a.key - b.key)
    .map(({ item }) => item);
}
