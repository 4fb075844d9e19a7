// Pulls with problems: stalled ones and unusually slow ones.

import type { PullStatus } from '../api/gen/wire';
import { parseInstant } from './format';
import { isFresh, isLive } from './pull';

export interface PullIssue {
  pull: PullStatus;
  kind: 'stalled' | 'slow';
  /** Time since which a stalled pull has received no data. */
  since: number | undefined;
  /**
   * Factor by which it is slower than the others with the same image; undefined if there are too
   * few.
   */
  slowdown: number | undefined;
}

/** Minimum number of other pulls for a median. */
const MIN_PEERS = 2;

/** Identifies the image without parsing its name. */
export const imageKey = (pull: PullStatus): string =>
  pull.imageRef ?? pull.repository ?? pull.rootDigest ?? pull.manifestDigest ?? '';

/** Issues, worst first: stalled the longest, then the slowest. */
export function findIssues(pulls: Iterable<PullStatus>): PullIssue[] {
  const found: PullStatus[] = [];
  const healthy: PullStatus[] = [];
  for (const pull of pulls) {
    if (!isLive(pull) || !isFresh(pull)) continue;
    if (pull.stalledSince !== undefined || pull.slow) found.push(pull);
    else if (pull.bytesPerSec) healthy.push(pull);
  }
  const peers = new Map<string, number[]>(found.map((pull) => [imageKey(pull), []]));
  if (found.length > 0) {
    for (const pull of healthy) peers.get(imageKey(pull))?.push(pull.bytesPerSec ?? 0);
    for (const speeds of peers.values()) speeds.sort((a, b) => a - b);
  }
  return found
    .map((pull): PullIssue => {
      const stalled = pull.stalledSince !== undefined;
      return {
        pull,
        kind: stalled ? 'stalled' : 'slow',
        since: parseInstant(pull.stalledSince),
        slowdown: stalled ? undefined : slowdown(pull, peers.get(imageKey(pull)) ?? []),
      };
    })
    .sort(
      (a, b) =>
        Number(b.kind === 'stalled') - Number(a.kind === 'stalled') ||
        (a.since ?? 0) - (b.since ?? 0) ||
        (b.slowdown ?? 0) - (a.slowdown ?? 0) ||
        (a.pull.id < b.pull.id ? -1 : 1),
    );
}

function slowdown(pull: PullStatus, peers: readonly number[]): number | undefined {
  if (peers.length < MIN_PEERS || !pull.bytesPerSec) return undefined;
  const times = (peers[Math.floor(peers.length / 2)] ?? 0) / pull.bytesPerSec;
  return times > 1 ? times : undefined;
}
