// Texts of others, such as errors of a runtime: what a terminal would obey, and what hides or turns letters, is made
// visible. Lines and tabs stay.

const HIDDEN =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for.
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;

/** As programs write it: not every face has the pictures of control characters. */
function escaped(character: string): string {
  const code = character.charCodeAt(0).toString(16);
  return code.length <= 2 ? `\\x${code.padStart(2, '0')}` : `\\u${code.padStart(4, '0')}`;
}

/** The same text, with `\x1b` for an escape and `\u202e` for what turns the direction of writing. */
export function visible(text: string): string {
  // Nearly every text has nothing of it.
  return text.search(HIDDEN) < 0 ? text : text.replaceAll('\r\n', '\n').replace(HIDDEN, escaped);
}

/** Whether there is anything to be made visible. */
export function isPlain(text: string): boolean {
  return !/[\n\t]/.test(text) && visible(text) === text;
}

/** With a capital, as at the beginning of a sentence. */
export const upper = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);
