// The layers of a pull as one strip: a part for each, as wide as the layer weighs.

import type { LayerStatus } from '../api/gen/wire';

export type SegmentLook = 'cached' | 'waiting' | 'downloading' | 'downloaded' | 'extracting' | 'complete';

export interface Segment {
  /** The index of its first layer. */
  index: number;
  look: SegmentLook;
  /** In bytes: how wide it is beside the others. */
  weight: number;
  /** How much of it is here, 0 to 1. */
  share: number;
}

/** More parts than that nobody can tell apart, and each of them is an element. */
const MOST = 24;

const LOOKS: Record<string, SegmentLook> = {
  cached: 'cached',
  remote: 'cached',
  waiting: 'waiting',
  downloading: 'downloading',
  downloaded: 'downloaded',
  extracting: 'extracting',
  complete: 'complete',
};

function segment(layer: LayerStatus, index: number): Segment {
  const look = layer.blobCached && layer.state === 'waiting' ? 'downloaded' : LOOKS[layer.state];
  const here = Math.max(0, layer.downloadedBytes ?? 0);
  const begun = look === 'downloading' || look === 'waiting' || look === undefined;
  return {
    index,
    look: look ?? 'waiting',
    weight: Math.max(1, layer.totalBytes),
    share: begun ? Math.min(1, here / Math.max(1, layer.totalBytes)) : 1,
  };
}

/**
 * Lowest layer first. Of very many those that lie beside each other and are alike are one; undefined where they still
 * are too many, and where there are none.
 */
export function segments(layers: readonly LayerStatus[], most = MOST): Segment[] | undefined {
  const each = layers.map(segment);
  if (each.length === 0) return undefined;
  if (each.length <= most) return each;
  const merged: Segment[] = [];
  for (const next of each) {
    const last = merged.at(-1);
    if (last && last.look === next.look && last.share === next.share) last.weight += next.weight;
    else merged.push(next);
  }
  return merged.length <= most ? merged : undefined;
}
