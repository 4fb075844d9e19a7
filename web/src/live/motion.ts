// What moves of a pull, put onto its row. Rows and layers are replaced, never changed.

import type { LayerStatus, PullMotion, PullStatus } from '../api/gen/wire';

/** All of these are replaced: one that is null is unknown from now on. */
export function moved(row: PullStatus, motion: PullMotion): PullStatus {
  const [, percent, downloadedBytes, extractedBytes, bytesPerSec, ...rest] = motion;
  const [etaSeconds, etaLowSeconds, etaHighSeconds, layersDone, moving] = rest;
  const next = { ...row };
  const put = <F extends keyof PullStatus>(field: F, value: PullStatus[F] | null): void => {
    if (value === null) delete next[field];
    else next[field] = value as (typeof next)[F];
  };
  put('percent', percent);
  put('downloadedBytes', downloadedBytes);
  put('extractedBytes', extractedBytes);
  put('bytesPerSec', bytesPerSec);
  put('etaSeconds', etaSeconds);
  put('etaLowSeconds', etaLowSeconds);
  put('etaHighSeconds', etaHighSeconds);
  put('layersDone', layersDone);
  if (moving.length > 0 && row.layers?.length) {
    const layers = [...row.layers];
    for (const [index, downloaded, unpacked, speed] of moving) {
      const layer = layers[index];
      if (layer) layers[index] = movedLayer(layer, downloaded, unpacked, speed);
    }
    next.layers = layers;
  }
  return next;
}

function movedLayer(
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
