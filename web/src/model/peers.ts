// Related pulls: the same image on other nodes, and other pulls on the same node.

import type { PullStatus } from '../api/gen/wire';
import { parseInstant } from './format';
import { isFresh, isLive } from './pull';

/** Compares by digest if both are known, otherwise by the whole name. */
export function sameImage(a: PullStatus, b: PullStatus): boolean {
  if (a.manifestDigest && b.manifestDigest) return a.manifestDigest === b.manifestDigest;
  if (a.rootDigest && b.rootDigest) return a.rootDigest === b.rootDigest;
  return a.imageRef !== undefined && a.imageRef === b.imageRef;
}

const startOf = (pull: PullStatus): number => parseInstant(pull.startedAt) ?? 0;

/**
 * The last pull of the same image on each other node, sorted by node name so that rows keep their
 * places.
 */
export function peers(rows: Iterable<PullStatus>, pull: PullStatus): PullStatus[] {
  const found = new Map<string, PullStatus>();
  for (const row of rows) {
    if (row.nodeName === pull.nodeName || !sameImage(row, pull)) continue;
    const previous = found.get(row.nodeName);
    if (previous === undefined || startOf(row) >= startOf(previous)) found.set(row.nodeName, row);
  }
  return [...found.values()].sort((a, b) => a.nodeName.localeCompare(b.nodeName, 'en', { numeric: true }));
}

/** Current or average download speed; undefined if unknown. */
export function downloadSpeed(pull: PullStatus): number | undefined {
  if (isLive(pull)) {
    const isDownloading = isFresh(pull) && pull.stalledSince === undefined && pull.phase === 'downloading';
    return isDownloading ? pull.bytesPerSec : undefined;
  }
  const [from, to] = [parseInstant(pull.downloadingAt), parseInstant(pull.extractingAt)];
  const { downloadedBytes } = pull;
  if (from === undefined || to === undefined || to <= from || !downloadedBytes) return undefined;
  return downloadedBytes / ((to - from) / 1000);
}

/** Undefined for an empty list. */
export function median(values: readonly number[]): number | undefined {
  const sorted = values.toSorted((a, b) => a - b);
  const half = sorted.length / 2;
  const high = sorted[Math.floor(half)];
  const low = sorted[Math.ceil(half) - 1];
  return high === undefined || low === undefined ? undefined : (high + low) / 2;
}

export interface PeerComparison {
  /** Speed relative to the median of the others; `1.2` is 20 % faster. */
  factor: number;
  nodes: number;
}

/** Compares the speed with peers; undefined if unknown. */
export function compareToPeers(pull: PullStatus, others: readonly PullStatus[]): PeerComparison | undefined {
  const speeds = others.map(downloadSpeed).filter((each) => each !== undefined);
  const medianSpeed = median(speeds);
  const ownSpeed = downloadSpeed(pull);
  return ownSpeed === undefined || !medianSpeed
    ? undefined
    : { factor: ownSpeed / medianSpeed, nodes: speeds.length };
}

export interface NodeQueue {
  running: readonly PullStatus[];
  /** In the order of the kubelet's queue. */
  waiting: readonly PullStatus[];
}

/** Live pulls of a node. */
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

/** The row that replaced `id`: one that superseded it, or one with the same stable id. */
export function successor(
  rows: Iterable<PullStatus>,
  id: string,
  stableId: (id: string) => string,
): PullStatus | undefined {
  let found: PullStatus | undefined;
  for (const row of rows) {
    if (row.id === id || (row.supersedes !== id && stableId(row.id) !== id)) continue;
    if (found === undefined || startOf(row) >= startOf(found)) found = row;
  }
  return found;
}
