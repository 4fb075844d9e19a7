// Of pulls that are over: when that was, how long they took, and which were the last.

import type { PullStatus } from '../api/gen/wire';
import { instant } from './format';
import { isLive, took } from './pull';

interface End {
  at: number;
  seconds: number | undefined;
}

// A row is replaced when anything of it changes, so what was read of it holds. Most rows are over, and are asked again
// each second.
const ends = new WeakMap<PullStatus, End>();

function end(pull: PullStatus): End {
  const found = ends.get(pull);
  if (found) return found;
  const at = instant(pull.completedAt) ?? instant(pull.startedAt) ?? 0;
  const read = { at, seconds: took(pull) };
  ends.set(pull, read);
  return read;
}

/** Milliseconds. */
export const endedAt = (pull: PullStatus): number => end(pull).at;

/** The `most` that ended last, the last one first. */
export function lastEnded(pulls: Iterable<PullStatus>, most: number): PullStatus[] {
  const last: PullStatus[] = [];
  for (const pull of pulls) {
    if (isLive(pull)) continue;
    const at = endedAt(pull);
    if (last.length === most && at <= endedAt(last[most - 1] as PullStatus)) continue;
    let place = last.length;
    while (place > 0 && endedAt(last[place - 1] as PullStatus) < at) place -= 1;
    last.splice(place, 0, pull);
    if (last.length > most) last.pop();
  }
  return last;
}

/** How long pulls took that completed. */
export interface PullTimes {
  pulls: number;
  /** Seconds that half of them took at most; undefined where none is known. */
  p50: number | undefined;
  p95: number | undefined;
}

export function pullTimes(pulls: Iterable<PullStatus>): PullTimes {
  const known: number[] = [];
  for (const pull of pulls) {
    if (pull.outcome !== 'completed') continue;
    const { seconds } = end(pull);
    if (seconds !== undefined) known.push(seconds);
  }
  const sorted = Float64Array.from(known).sort();
  // The smallest of them that so many are not above.
  const quantile = (share: number): number | undefined => sorted[Math.ceil(sorted.length * share) - 1];
  return { pulls: sorted.length, p50: quantile(0.5), p95: quantile(0.95) };
}
