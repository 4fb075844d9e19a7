// The layer strip: one segment per layer, as wide as the layer is large.

import type { LayerStatus } from '../api/gen/wire';

export type StripState = 'cached' | 'waiting' | 'downloading' | 'downloaded' | 'extracting' | 'complete';

export interface StripSegment {
  /** Index of the first layer of the segment. */
  index: number;
  state: StripState;
  /** Width in bytes. */
  weight: number;
  /** Downloaded share, 0 to 1. */
  share: number;
}

/** More segments are indistinguishable, and each is a DOM element. */
const MAX_SEGMENTS = 24;

const STRIP_STATES: Record<string, StripState> = {
  cached: 'cached',
  remote: 'cached',
  waiting: 'waiting',
  downloading: 'downloading',
  downloaded: 'downloaded',
  extracting: 'extracting',
  complete: 'complete',
};

function toSegment(layer: LayerStatus, index: number): StripSegment {
  const state = layer.blobCached && layer.state === 'waiting' ? 'downloaded' : STRIP_STATES[layer.state];
  const downloaded = Math.max(0, layer.downloadedBytes ?? 0);
  const isPartial = state === 'downloading' || state === 'waiting' || state === undefined;
  return {
    index,
    state: state ?? 'waiting',
    weight: Math.max(1, layer.totalBytes),
    share: isPartial ? Math.min(1, downloaded / Math.max(1, layer.totalBytes)) : 1,
  };
}

/**
 * Segments, lowest layer first. With many layers, equal neighbours are merged; undefined if there
 * are still too many, or none.
 */
export function stripSegments(
  layers: readonly LayerStatus[],
  limit = MAX_SEGMENTS,
): StripSegment[] | undefined {
  const each = layers.map(toSegment);
  if (each.length === 0) return undefined;
  if (each.length <= limit) return each;
  const merged: StripSegment[] = [];
  for (const next of each) {
    const last = merged.at(-1);
    if (last && last.state === next.state && last.share === next.share) last.weight += next.weight;
    else merged.push(next);
  }
  return merged.length <= limit ? merged : undefined;
}
