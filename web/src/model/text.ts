// Escapes control, invisible and bidirectional characters in foreign text such as runtime errors.
// Newlines and tabs are kept.

const HIDDEN =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: matched on purpose.
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;

/** The usual escape notation; not every font has glyphs for control characters. */
function escapeCharacter(character: string): string {
  const code = character.charCodeAt(0).toString(16);
  return code.length <= 2 ? `\\x${code.padStart(2, '0')}` : `\\u${code.padStart(4, '0')}`;
}

/** Replaces hidden characters by escapes such as `\x1b` and `\u202e`. */
export function escapeHidden(text: string): string {
  // Most texts contain none.
  return text.search(HIDDEN) < 0 ? text : text.replaceAll('\r\n', '\n').replace(HIDDEN, escapeCharacter);
}

/** Returns whether the text has no hidden characters and is a single line. */
export function isPlain(text: string): boolean {
  return !/[\n\t]/.test(text) && escapeHidden(text) === text;
}

export const capitalize = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);
