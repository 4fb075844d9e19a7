// The keys of the page, and what a key press means: pure, so that the list and the handler cannot differ.

import type { Page } from '../../route';

export type Deed =
  | { do: 'search' | 'hold' | 'theme' | 'keys' | 'back' }
  | { do: 'page'; page: Page }
  | { do: 'group'; group: string };

const PAGES: Record<string, Page> = {
  o: 'overview',
  p: 'pulls',
  i: 'images',
  n: 'nodes',
  f: 'failures',
};

const GROUPS: Record<string, string> = { 1: 'image', 2: 'node', 3: 'namespace', 4: 'pod' };

const DEEDS: Record<string, Deed> = {
  '/': { do: 'search' },
  ' ': { do: 'hold' },
  t: { do: 'theme' },
  '?': { do: 'keys' },
  Escape: { do: 'back' },
};

/** After `g` the next key names a page, within this time. */
export const GO_MS = 1_500;

/** What a key does; `go` where `g` was pressed just before. */
export function deed(key: string, go: boolean): Deed | undefined {
  if (go) return PAGES[key] && { do: 'page', page: PAGES[key] };
  const group = GROUPS[key];
  return group === undefined ? DEEDS[key] : { do: 'group', group };
}

/** For the list of keys: each of `keys` is pressed one after the other; `or` tells alternatives apart. */
export const KEYS: readonly { keys: readonly string[]; or?: boolean; what: string }[] = [
  { keys: ['/'], what: 'Search' },
  { keys: ['g', 'o'], what: 'Overview' },
  { keys: ['g', 'p'], what: 'Pulls' },
  { keys: ['g', 'i'], what: 'Images' },
  { keys: ['g', 'n'], what: 'Nodes' },
  { keys: ['g', 'f'], what: 'Failures' },
  { keys: ['1', '2', '3', '4'], or: true, what: 'Group by image, node, namespace, pod' },
  { keys: ['j', 'k'], or: true, what: 'Next row, row before' },
  { keys: ['Enter'], what: 'Open the row' },
  { keys: ['Esc'], what: 'Close, or back to the list' },
  { keys: ['Space'], what: 'Hold the page still, and go on' },
  { keys: ['t'], what: 'Theme' },
  { keys: ['?'], what: 'This list' },
];

const TYPED = new Set(['text', 'search', 'password', 'email', 'url', 'number', 'tel']);

/** Whether a key that is pressed there is text. */
export function types(target: EventTarget | null): boolean {
  if (!(target instanceof HTMLElement)) return false;
  if (target instanceof HTMLInputElement) return TYPED.has(target.type);
  return (
    target.isContentEditable || target instanceof HTMLTextAreaElement || target instanceof HTMLSelectElement
  );
}

/** Whether it does something of its own when a key is pressed there. */
export const acts = (target: EventTarget | null): boolean =>
  target instanceof Element && target.closest('a, button, input, summary, label, select') !== null;
