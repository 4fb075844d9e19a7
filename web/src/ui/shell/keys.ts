// Keyboard shortcuts. One table for the handler and the help, so that they cannot differ.

import type { Page } from '../../route';

export type KeyAction =
  | { do: 'search' | 'pause' | 'theme' | 'keys' | 'back' }
  | { do: 'page'; page: Page }
  | { do: 'group'; group: string };

const PAGE_KEYS: Record<string, Page> = {
  o: 'overview',
  p: 'pulls',
  i: 'images',
  n: 'nodes',
  f: 'failures',
};

const GROUP_KEYS: Record<string, string> = { 1: 'image', 2: 'node', 3: 'namespace', 4: 'pod' };

const ACTIONS: Record<string, KeyAction> = {
  '/': { do: 'search' },
  ' ': { do: 'pause' },
  t: { do: 'theme' },
  '?': { do: 'keys' },
  Escape: { do: 'back' },
};

/** Time after `g` in which the next key selects a page. */
export const SEQUENCE_TIMEOUT_MS = 1_500;

/** Returns the action of a key; `afterG` if `g` was pressed just before. */
export function keyAction(key: string, afterG: boolean): KeyAction | undefined {
  if (afterG) return PAGE_KEYS[key] && { do: 'page', page: PAGE_KEYS[key] };
  const group = GROUP_KEYS[key];
  return group === undefined ? ACTIONS[key] : { do: 'group', group };
}

/**
 * Shortcuts for the help. `keys` are pressed in sequence, or are alternatives with `isAlternative`.
 */
export const SHORTCUTS: readonly { keys: readonly string[]; isAlternative?: boolean; description: string }[] =
  [
    { keys: ['/'], description: 'Search' },
    { keys: ['g', 'o'], description: 'Overview' },
    { keys: ['g', 'p'], description: 'Pulls' },
    { keys: ['g', 'i'], description: 'Images' },
    { keys: ['g', 'n'], description: 'Nodes' },
    { keys: ['g', 'f'], description: 'Failures' },
    { keys: ['1', '2', '3', '4'], isAlternative: true, description: 'Group by image, node, namespace, pod' },
    { keys: ['j', 'k'], isAlternative: true, description: 'Next, previous row' },
    { keys: ['Enter'], description: 'Open row' },
    { keys: ['Esc'], description: 'Close, or back to list' },
    { keys: ['Space'], description: 'Pause or resume updates' },
    { keys: ['t'], description: 'Theme' },
    { keys: ['?'], description: 'Shortcuts' },
  ];

const TEXT_INPUT_TYPES = new Set(['text', 'search', 'password', 'email', 'url', 'number', 'tel']);

/** Reports whether a key press there enters text. */
export function isTextInput(target: EventTarget | null): boolean {
  if (!(target instanceof HTMLElement)) return false;
  if (target instanceof HTMLInputElement) return TEXT_INPUT_TYPES.has(target.type);
  return (
    target.isContentEditable || target instanceof HTMLTextAreaElement || target instanceof HTMLSelectElement
  );
}

/** Reports whether the element reacts to key presses itself. */
export const isInteractive = (target: EventTarget | null): boolean =>
  target instanceof Element && target.closest('a, button, input, summary, label, select') !== null;
