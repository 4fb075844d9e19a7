// What moves of a pull, put onto its row. Rows and layers are replaced, never changed.

import type { LayerStatus, PullMotion, PullStatus } from '../api/gen/wire';

type Moving = Omit<PullMotion, 'id' | 'layers'>;

/** All of these are replaced: one that the motion does not have is unknown from now on. */
const MOVING = [
  'percent',
  'downloadedBytes',
  'extractedBytes',
  'bytesPerSec',
  'etaSeconds',
  'etaLowSeconds',
  'etaHighSeconds',
  'layersDone',
] as const satisfies readonly (keyof Moving)[];

export function moved(row: PullStatus, motion: PullMotion): PullStatus {
  const next = { ...row };
  for (const field of MOVING) {
    const value = motion[field];
    if (value === undefined) delete next[field];
    else next[field] = value;
  }
  if (motion.layers?.length && row.layers?.length) {
    const layers = [...row.layers];
    for (const [index, downloaded, unpacked, speed] of motion.layers) {
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
