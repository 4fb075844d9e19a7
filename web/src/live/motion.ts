// Applies motions (progress updates) to rows. Rows are replaced, never mutated.

import type { PullMotion, PullStatus } from '../api/gen/wire';

/**
 * Replaces all progress fields; null means unknown. The page's stream has no layers, so the motions of
 * layers are empty.
 */
export function applyMotion(row: PullStatus, motion: PullMotion): PullStatus {
  const [, percent, downloadedBytes, extractedBytes, bytesPerSec, ...rest] = motion;
  const [etaSeconds, etaLowSeconds, etaHighSeconds, layersDone] = rest;
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
  return next;
}
