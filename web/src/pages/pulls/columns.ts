// The columns of the table: which there are, how wide, and which are shown.

import { useSyncExternalStore } from 'react';
import type { SortKey } from '../../model/order';

export const COLUMNS = ['node', 'progress', 'bytes', 'speed', 'eta', 'layers', 'pods', 'started'] as const;
export type Column = (typeof COLUMNS)[number];
/** These are always there. */
export type AnyColumn = 'state' | 'image' | Column;

interface Look {
  name: string;
  /** What it takes of the width of the grid. */
  width: string;
  sort: SortKey;
  /** Figures are aligned at their end. */
  figure?: boolean;
}

export const LOOKS: Record<AnyColumn, Look> = {
  state: { name: 'State', width: '118px', sort: 'state' },
  image: { name: 'Image', width: 'minmax(150px, 1.25fr)', sort: 'image' },
  node: { name: 'Node', width: 'minmax(92px, 0.72fr)', sort: 'node' },
  progress: { name: 'Layers, by size', width: 'minmax(170px, 1.7fr)', sort: 'progress' },
  bytes: { name: 'Downloaded', width: '142px', sort: 'bytes', figure: true },
  speed: { name: 'Speed', width: '84px', sort: 'speed', figure: true },
  eta: { name: 'ETA', width: '84px', sort: 'eta', figure: true },
  layers: { name: 'Layers', width: '58px', sort: 'layers', figure: true },
  pods: { name: 'Pod, and what it waits for', width: 'minmax(150px, 1.6fr)', sort: 'pods' },
  started: { name: 'Started', width: '96px', sort: 'started', figure: true },
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
  node: 0,
  progress: 0,
  bytes: 1320,
  speed: 860,
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

export const template = (columns: readonly AnyColumn[]): string =>
  columns.map((column) => LOOKS[column].width).join(' ');
