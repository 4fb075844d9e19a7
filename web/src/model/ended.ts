// Ended pulls: end times, durations and the most recent ones.

import type { PullStatus } from '../api/gen/wire';
import { parseInstant } from './format';
import { isLive, pullDuration } from './pull';

interface EndTimes {
  at: number;
  seconds: number | undefined;
}

// Rows are replaced on every change, so cached values stay valid. Most rows have ended and are read
// again every second.
const cache = new WeakMap<PullStatus, EndTimes>();

function endTimes(pull: PullStatus): EndTimes {
  const found = cache.get(pull);
  if (found) return found;
  const at = parseInstant(pull.completedAt) ?? parseInstant(pull.startedAt) ?? 0;
  const times = { at, seconds: pullDuration(pull) };
  cache.set(pull, times);
  return times;
}

/** Milliseconds since the epoch. */
export const endedAt = (pull: PullStatus): number => endTimes(pull).at;

/** The `limit` most recently ended pulls, latest first. */
export function lastEnded(pulls: Iterable<PullStatus>, limit: number): PullStatus[] {
  const last: PullStatus[] = [];
  for (const pull of pulls) {
    if (isLive(pull)) continue;
    const at = endedAt(pull);
    if (last.length === limit && at <= endedAt(last[limit - 1] as PullStatus)) continue;
    let index = last.length;
    while (index > 0 && endedAt(last[index - 1] as PullStatus) < at) index -= 1;
    last.splice(index, 0, pull);
    if (last.length > limit) last.pop();
  }
  return last;
}

/** Durations of completed pulls. */
export interface DurationStats {
  pulls: number;
  /** Median in seconds; undefined if no duration is known. */
  p50: number | undefined;
  p95: number | undefined;
}

export function durationStats(pulls: Iterable<PullStatus>): DurationStats {
  const durations: number[] = [];
  for (const pull of pulls) {
    if (pull.outcome !== 'completed') continue;
    const { seconds } = endTimes(pull);
    if (seconds !== undefined) durations.push(seconds);
  }
  const sorted = Float64Array.from(durations).sort();
  // Nearest-rank percentile.
  const quantile = (share: number): number | undefined => sorted[Math.ceil(sorted.length * share) - 1];
  return { pulls: sorted.length, p50: quantile(0.5), p95: quantile(0.95) };
}
