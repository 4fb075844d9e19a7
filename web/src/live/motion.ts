// Applies motions (progress updates) to rows. Rows and layers are replaced, never mutated.

import type { LayerStatus, PullMotion, PullStatus } from '../api/gen/wire';

/** Replaces all progress fields; null means unknown. */
export function applyMotion(row: PullStatus, motion: PullMotion): PullStatus {
  const [, percent, downloadedBytes, extractedBytes, bytesPerSec, ...rest] = motion;
  const [etaSeconds, etaLowSeconds, etaHighSeconds, layersDone, moving] = rest;
  const next = { ...row };
  const setOrDelete = <F extends keyof PullStatus>(field: F, value: PullStatus[F] | null): void => {
    if (value === null) delete next[field];
    else next[field] = value as (typeof next)[F];
  };
  setOrDelete('percent', percent);
  setOrDelete('downloadedBytes', downloadedBytes);
  setOrDelete('extractedBytes', extractedBytes);
  setOrDelete('bytesPerSec', bytesPerSec);
  setOrDelete('etaSeconds', etaSeconds);
  setOrDelete('etaLowSeconds', etaLowSeconds);
  setOrDelete('etaHighSeconds', etaHighSeconds);
  setOrDelete('layersDone', layersDone);
  if (moving.length > 0 && row.layers?.length) {
    const layers = [...row.layers];
    for (const [index, downloaded, unpacked, speed] of moving) {
      const layer = layers[index];
      if (layer) layers[index] = applyLayerMotion(layer, downloaded, unpacked, speed);
    }
    next.layers = layers;
  }
  return next;
}

function applyLayerMotion(
  layer: LayerStatus,
  downloaded: number | null,
  unpacked: number | null,
  speed: number | null,
): LayerStatus {
  const next = { ...layer };
  delete next.downloadedBytes;
  delete next.unpackedBytes;
  delete next.bytesPerSec;
  if (downloaded !== null) next.downloadedBytes = downloaded;
  if (unpacked !== null) next.unpackedBytes = unpacked;
  if (speed !== null) next.bytesPerSec = speed;
  return next;
}
