// Pulls that do not get on as they should: stalled ones, and those that are far slower than they should be.

import type { PullStatus } from '../api/gen/wire';
import { instant } from './format';
import { isLive, isSeen } from './pull';

export interface Trouble {
  pull: PullStatus;
  kind: 'stalled' | 'slow';
  /** Since when nothing has come of one that is stalled. */
  since: number | undefined;
  /** How many times slower it is than the others that download the same image; undefined where there are too few. */
  slower: number | undefined;
}

/** So many others make a median. */
const PEERS = 2;

/** What tells one image from another, before its name is taken apart. */
export const imageKey = (pull: PullStatus): string =>
  pull.imageRef ?? pull.repository ?? pull.rootDigest ?? pull.manifestDigest ?? '';

/** The worst first: stalled ones, the longest of them first, then slow ones. */
export function trouble(pulls: Iterable<PullStatus>): Trouble[] {
  const found: PullStatus[] = [];
  const healthy: PullStatus[] = [];
  for (const pull of pulls) {
    if (!isLive(pull) || !isSeen(pull)) continue;
    if (pull.stalledSince !== undefined || pull.slow) found.push(pull);
    else if (pull.bytesPerSec) healthy.push(pull);
  }
  const peers = new Map<string, number[]>(found.map((pull) => [imageKey(pull), []]));
  if (found.length > 0) {
    for (const pull of healthy) peers.get(imageKey(pull))?.push(pull.bytesPerSec ?? 0);
    for (const speeds of peers.values()) speeds.sort((a, b) => a - b);
  }
  return found
    .map((pull): Trouble => {
      const stalled = pull.stalledSince !== undefined;
      return {
        pull,
        kind: stalled ? 'stalled' : 'slow',
        since: instant(pull.stalledSince),
        slower: stalled ? undefined : slower(pull, peers.get(imageKey(pull)) ?? []),
      };
    })
    .sort(
      (a, b) =>
        Number(b.kind === 'stalled') - Number(a.kind === 'stalled') ||
        (a.since ?? 0) - (b.since ?? 0) ||
        (b.slower ?? 0) - (a.slower ?? 0) ||
        (a.pull.id < b.pull.id ? -1 : 1),
    );
}

function slower(pull: PullStatus, peers: readonly number[]): number | undefined {
  if (peers.length < PEERS || !pull.bytesPerSec) return undefined;
  const times = (peers[Math.floor(peers.length / 2)] ?? 0) / pull.bytesPerSec;
  return times > 1 ? times : undefined;
}
