// The columns of the table, their widths, and which are visible.

import { useSyncExternalStore } from 'react';
import type { SortKey } from '../../model/order';
import type { Heading } from '../../ui/SortButton';

export const COLUMNS = ['node', 'progress', 'bytes', 'speed', 'eta', 'layers', 'pods', 'started'] as const;
export type Column = (typeof COLUMNS)[number];
/** `state` and `image` are always visible. */
export type AnyColumn = SortKey;

interface ColumnLayout extends Omit<Heading<SortKey>, 'key'> {
  /** Minimum width in pixels, and share of the remaining width. */
  minWidth: number;
  grow?: number;
}

export const COLUMN_LAYOUTS: Record<AnyColumn, ColumnLayout> = {
  state: { name: 'State', minWidth: 118 },
  image: { name: 'Image', minWidth: 170, grow: 1.3 },
  node: { name: 'Node', minWidth: 92, grow: 0.72 },
  progress: { name: 'Layers, by size', minWidth: 160, grow: 1.7, descending: true },
  bytes: { name: 'Downloaded', minWidth: 142, descending: true, isNumeric: true },
  speed: { name: 'Speed', minWidth: 84, descending: true, isNumeric: true },
  eta: { name: 'ETA', minWidth: 84, isNumeric: true },
  layers: { name: 'Layers', minWidth: 58, descending: true, isNumeric: true },
  pods: { name: 'Pod and wait reason', minWidth: 150, grow: 1.6 },
  started: { name: 'Started', minWidth: 96, descending: true, isNumeric: true },
};

/** The columns that a table can be sorted by. */
export const SORT_KEYS = (Object.keys(COLUMN_LAYOUTS) as SortKey[]).map((key) => ({ key }));

/** The menu has room for longer names. */
export const MENU_NAMES: Record<Column, string> = {
  node: 'Node',
  progress: 'Layers and percent',
  bytes: 'Downloaded',
  speed: 'Speed',
  eta: 'Time left or total',
  layers: 'Layers done',
  pods: 'Pod and wait reason',
  started: 'Started',
};

/** Minimum window width for a column to be visible by default. */
const SHOWN_FROM_WIDTH: Record<Column, number> = {
  node: 760,
  progress: 0,
  bytes: 1320,
  speed: 1080,
  eta: 0,
  layers: 1160,
  pods: 960,
  started: 1760,
};

/** Narrower windows show cards instead of a table. */
export const TABLE_MIN_WIDTH = 720;

const BREAKPOINTS = [...new Set([TABLE_MIN_WIDTH, ...Object.values(SHOWN_FROM_WIDTH)])].filter(
  (width) => width > 0,
);

const mediaQueries = (): MediaQueryList[] =>
  BREAKPOINTS.map((width) => window.matchMedia(`(min-width: ${width}px)`));

function onWidth(listener: () => void): () => void {
  const all = mediaQueries();
  for (const each of all) each.addEventListener('change', listener);
  return () => {
    for (const each of all) each.removeEventListener('change', listener);
  };
}

/** The largest breakpoint that the window reaches. */
const currentBreakpoint = (): number =>
  Math.max(0, ...BREAKPOINTS.filter((width) => window.matchMedia(`(min-width: ${width}px)`).matches));

export function useWidth(): number {
  return useSyncExternalStore(onWidth, currentBreakpoint);
}

/** Returns the columns in the URL, or those that fit the width. */
export function visibleColumns(text: string | null, width: number): Column[] {
  const requested = text?.split(',');
  const shown = COLUMNS.filter((column) => requested?.includes(column) ?? SHOWN_FROM_WIDTH[column] <= width);
  return shown;
}

/** Formats the columns for the URL; undefined if they are the defaults. */
export function formatColumns(columns: readonly Column[], width: number): string | undefined {
  const text = COLUMNS.filter((column) => columns.includes(column)).join();
  if (text === visibleColumns(null, width).join()) return undefined;
  // An empty parameter would be dropped from the URL.
  return text || 'none';
}

/** Between columns, and at both ends of a row. */
const GAP = 14;
const EDGE = 16;

/** The columns as a grid template, and their minimum width. */
export function gridLayout(columns: readonly AnyColumn[]): { template: string; width: number } {
  const layouts = columns.map((column) => COLUMN_LAYOUTS[column]);
  return {
    template: layouts
      .map(({ minWidth, grow }) =>
        grow === undefined ? `${minWidth}px` : `minmax(${minWidth}px, ${grow}fr)`,
      )
      .join(' '),
    width: layouts.reduce((sum, { minWidth }) => sum + minWidth, 0) + (layouts.length - 1) * GAP + 2 * EDGE,
  };
}
