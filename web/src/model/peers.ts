// What else is pulled: the same image on other nodes, and what runs and waits on the same node.

import type { PullStatus } from '../api/gen/wire';
import { instant } from './format';
import { isLive, isSeen } from './pull';

/** Whether two pulls are of the same image: by digest where both know one, or else by the whole name. */
export function sameImage(a: PullStatus, b: PullStatus): boolean {
  if (a.manifestDigest && b.manifestDigest) return a.manifestDigest === b.manifestDigest;
  if (a.rootDigest && b.rootDigest) return a.rootDigest === b.rootDigest;
  return a.imageRef !== undefined && a.imageRef === b.imageRef;
}

const startOf = (pull: PullStatus): number => instant(pull.startedAt) ?? 0;

/** The last pull of the same image on each other node, in the order of the nodes' names: nothing moves while it pulls. */
export function peers(rows: Iterable<PullStatus>, pull: PullStatus): PullStatus[] {
  const found = new Map<string, PullStatus>();
  for (const row of rows) {
    if (row.nodeName === pull.nodeName || !sameImage(row, pull)) continue;
    const before = found.get(row.nodeName);
    if (before === undefined || startOf(row) >= startOf(before)) found.set(row.nodeName, row);
  }
  return [...found.values()].sort((a, b) => a.nodeName.localeCompare(b.nodeName, 'en', { numeric: true }));
}

/** How fast its bytes come, or came from its first to its last; undefined where that is not known. */
export function downloadSpeed(pull: PullStatus): number | undefined {
  if (isLive(pull)) {
    const comes = isSeen(pull) && pull.stalledSince === undefined && pull.phase === 'downloading';
    return comes ? pull.bytesPerSec : undefined;
  }
  const [from, to] = [instant(pull.downloadingAt), instant(pull.extractingAt)];
  const { downloadedBytes } = pull;
  if (from === undefined || to === undefined || to <= from || !downloadedBytes) return undefined;
  return downloadedBytes / ((to - from) / 1000);
}

/** The one in the middle; undefined of none. */
export function median(values: readonly number[]): number | undefined {
  const sorted = values.toSorted((a, b) => a - b);
  const half = sorted.length / 2;
  const high = sorted[Math.floor(half)];
  const low = sorted[Math.ceil(half) - 1];
  return high === undefined || low === undefined ? undefined : (high + low) / 2;
}

export interface Compared {
  /** `1.2`: so many times as fast as the median of the others. */
  factor: number;
  nodes: number;
}

/** How fast it is beside the others; undefined where nobody knows. */
export function compared(pull: PullStatus, others: readonly PullStatus[]): Compared | undefined {
  const speeds = others.map(downloadSpeed).filter((each) => each !== undefined);
  const usual = median(speeds);
  const own = downloadSpeed(pull);
  return own === undefined || !usual ? undefined : { factor: own / usual, nodes: speeds.length };
}

export interface NodeQueue {
  running: readonly PullStatus[];
  /** In the order of the kubelet's queue. */
  waiting: readonly PullStatus[];
}

/** What goes on at a node, this pull too. */
export function nodeQueue(rows: Iterable<PullStatus>, node: string): NodeQueue {
  const live: PullStatus[] = [];
  for (const row of rows) if (row.nodeName === node && isLive(row)) live.push(row);
  live.sort((a, b) => startOf(a) - startOf(b) || (a.id < b.id ? -1 : 1));
  const ahead = (row: PullStatus): number => row.waitingOn?.ahead ?? Number.POSITIVE_INFINITY;
  return {
    running: live.filter(({ phase }) => phase !== 'queued'),
    waiting: live
      .filter(({ phase }) => phase === 'queued')
      .sort((a, b) => (ahead(a) === ahead(b) ? 0 : ahead(a) - ahead(b))),
  };
}

/** The row that `id` has become: one that superseded it, or that goes on as it. */
export function successor(
  rows: Iterable<PullStatus>,
  id: string,
  first: (id: string) => string,
): PullStatus | undefined {
  let found: PullStatus | undefined;
  for (const row of rows) {
    if (row.id === id || (row.supersedes !== id && first(row.id) !== id)) continue;
    if (found === undefined || startOf(row) >= startOf(found)) found = row;
  }
  return found;
}
