// The columns of the table: which there are, how wide, and which are shown.

import { useSyncExternalStore } from 'react';
import type { SortKey } from '../../model/order';

export const COLUMNS = ['node', 'progress', 'bytes', 'speed', 'eta', 'layers', 'pods', 'started'] as const;
export type Column = (typeof COLUMNS)[number];
/** These are always there. */
export type AnyColumn = 'state' | 'image' | Column;

interface Look {
  name: string;
  /** What it takes at least, in pixels, and its share of what is left. */
  min: number;
  share?: number;
  sort: SortKey;
  /** Figures are aligned at their end. */
  figure?: boolean;
}

export const LOOKS: Record<AnyColumn, Look> = {
  state: { name: 'State', min: 118, sort: 'state' },
  image: { name: 'Image', min: 170, share: 1.3, sort: 'image' },
  node: { name: 'Node', min: 92, share: 0.72, sort: 'node' },
  progress: { name: 'Layers, by size', min: 160, share: 1.7, sort: 'progress' },
  bytes: { name: 'Downloaded', min: 142, sort: 'bytes', figure: true },
  speed: { name: 'Speed', min: 84, sort: 'speed', figure: true },
  eta: { name: 'ETA', min: 84, sort: 'eta', figure: true },
  layers: { name: 'Layers', min: 58, sort: 'layers', figure: true },
  pods: { name: 'Pod, and what it waits for', min: 150, share: 1.6, sort: 'pods' },
  started: { name: 'Started', min: 96, sort: 'started', figure: true },
};

/** In a menu there is room for more words. */
export const NAMES: Record<Column, string> = {
  node: 'Node',
  progress: 'Layers and percent',
  bytes: 'Downloaded',
  speed: 'Speed',
  eta: 'Time left or taken',
  layers: 'Layers done',
  pods: 'Pod, and what it waits for',
  started: 'Started',
};

/** From so many pixels on a column is there unasked. */
const FROM: Record<Column, number> = {
  node: 760,
  progress: 0,
  bytes: 1320,
  speed: 1080,
  eta: 0,
  layers: 1160,
  pods: 960,
  started: 1760,
};

/** Below this there is no table, but cards. */
export const TABLE_FROM = 720;

const WIDTHS = [...new Set([TABLE_FROM, ...Object.values(FROM)])].filter((width) => width > 0);

const media = (): MediaQueryList[] => WIDTHS.map((width) => window.matchMedia(`(min-width: ${width}px)`));

function onWidth(listener: () => void): () => void {
  const all = media();
  for (const each of all) each.addEventListener('change', listener);
  return () => {
    for (const each of all) each.removeEventListener('change', listener);
  };
}

/** The widest of the widths above that the window has. */
const reached = (): number =>
  Math.max(0, ...WIDTHS.filter((width) => window.matchMedia(`(min-width: ${width}px)`).matches));

export function useWidth(): number {
  return useSyncExternalStore(onWidth, reached);
}

/** What the address says, or what there is room for. */
export function columnsOf(text: string | null, width: number): Column[] {
  const asked = text?.split(',');
  const shown = COLUMNS.filter((column) => asked?.includes(column) ?? FROM[column] <= width);
  return shown;
}

/** What the address says of them; nothing where they are those that are there unasked. */
export function columnsText(columns: readonly Column[], width: number): string | undefined {
  const text = COLUMNS.filter((column) => columns.includes(column)).join();
  if (text === columnsOf(null, width).join()) return undefined;
  // An address without this would say nothing.
  return text || 'none';
}

/** Between two of them, and before the first as after the last. */
const GAP = 14;
const EDGE = 16;

/** The columns as a grid has them, and how wide that is at least. */
export function layout(columns: readonly AnyColumn[]): { template: string; width: number } {
  const looks = columns.map((column) => LOOKS[column]);
  return {
    template: looks
      .map(({ min, share }) => (share === undefined ? `${min}px` : `minmax(${min}px, ${share}fr)`))
      .join(' '),
    width: looks.reduce((sum, { min }) => sum + min, 0) + (looks.length - 1) * GAP + 2 * EDGE,
  };
}
