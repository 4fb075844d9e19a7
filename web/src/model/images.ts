// Aggregates pulls by image: nodes that have it, durations, cache hits.

import type { PullStatus } from '../api/gen/wire';
import { durationStats, endedAt } from './ended';
import { parseInstant } from './format';
import { type ImageName, imageName } from './image';
import { isLive } from './pull';
import { podKey } from './totals';

/** One table row. Flat, so that unchanged rows are not rerendered. */
export interface ImageEntry {
  key: string;
  image: ImageName;
  /** The last digest that the name pointed to. */
  digest: string | undefined;
  /** More than one if the tag was moved. */
  digests: number;
  /** Nodes with a completed pull of the image. */
  present: number;
  /** Nodes that pull it or have it queued. */
  pulling: number;
  /** Nodes whose last pull of it failed. */
  failed: number;
  bytes: number | undefined;
  /** Seconds. */
  p50: number | undefined;
  p95: number | undefined;
  /** Number of pulls behind the percentiles. */
  timedPulls: number;
  /** Share of bytes that was already on the nodes, 0 to 1. */
  cached: number | undefined;
  pods: number;
}

interface ImageTally {
  image: ImageName;
  digests: Set<string>;
  last: Map<string, PullStatus>;
  present: Set<string>;
  completed: PullStatus[];
  bytes: number | undefined;
  cached: number;
  total: number;
  pods: Set<string>;
}

interface NameWithKey {
  key: string;
  image: ImageName;
}

// Many nodes pull the same image and each dataset update asks again, so parsed names are cached.
const nameCache = new Map<string, NameWithKey>();
const MAX_CACHED_NAMES = 20_000;

function nameWithKey(pull: PullStatus): NameWithKey {
  const digest = pull.rootDigest ?? pull.manifestDigest;
  const reference = pull.imageRef ?? (pull.repository && `${pull.repository} ${digest ?? ''}`);
  const text = reference ?? digest ?? '';
  const found = nameCache.get(text);
  if (found) return found;
  if (nameCache.size >= MAX_CACHED_NAMES) nameCache.clear();
  const image = imageName(pull);
  const { registry, name, version, known } = image;
  const key = known ? `${registry}${registry && '/'}${name}${version && `:${version}`}` : text || 'unknown';
  const next = { key, image };
  nameCache.set(text, next);
  return next;
}

function tallyByImage(rows: Iterable<PullStatus>): Map<string, ImageTally> {
  const found = new Map<string, ImageTally>();
  const nameless: PullStatus[] = [];
  const byDigest = new Map<string, ImageTally>();
  for (const pull of rows) {
    const { key, image } = nameWithKey(pull);
    if (pull.imageRef === undefined) {
      nameless.push(pull);
      continue;
    }
    const tally = addToImage(found, key, image, pull);
    if (pull.rootDigest !== undefined) byDigest.set(pull.rootDigest, tally);
  }
  // A pull whose full name is unknown belongs to the image with its digest.
  for (const pull of nameless) {
    const { key, image } = nameWithKey(pull);
    const sameDigest = byDigest.get(pull.rootDigest ?? '');
    if (sameDigest) addPull(sameDigest, pull);
    else addToImage(found, key, image, pull);
  }
  return found;
}

function addToImage(
  found: Map<string, ImageTally>,
  key: string,
  image: ImageName,
  pull: PullStatus,
): ImageTally {
  let tally = found.get(key);
  if (tally === undefined) {
    tally = {
      image,
      digests: new Set(),
      last: new Map(),
      present: new Set(),
      completed: [],
      bytes: undefined,
      cached: 0,
      total: 0,
      pods: new Set(),
    };
    found.set(key, tally);
  }
  addPull(tally, pull);
  return tally;
}

function addPull(tally: ImageTally, pull: PullStatus): void {
  const { nodeName, rootDigest, totalBytes, cachedBytes } = pull;
  if (rootDigest !== undefined) tally.digests.add(rootDigest);
  const previous = tally.last.get(nodeName);
  if (previous === undefined || isLater(pull, previous)) tally.last.set(nodeName, pull);
  if (pull.outcome === 'completed') {
    tally.present.add(nodeName);
    tally.completed.push(pull);
  }
  if (totalBytes !== undefined && totalBytes >= 0) {
    tally.bytes = Math.max(tally.bytes ?? 0, totalBytes);
    if (cachedBytes !== undefined) {
      tally.cached += cachedBytes;
      tally.total += totalBytes;
    }
  }
  for (const link of pull.pods ?? []) tally.pods.add(podKey(link));
}

function isLater(a: PullStatus, b: PullStatus): boolean {
  if (isLive(a) !== isLive(b)) return isLive(a);
  return isLive(a)
    ? (parseInstant(a.startedAt) ?? 0) > (parseInstant(b.startedAt) ?? 0)
    : endedAt(a) > endedAt(b);
}

export function imageEntries(rows: Iterable<PullStatus>): ImageEntry[] {
  return [...tallyByImage(rows)].map(([key, tally]) => {
    let pulling = 0;
    let failed = 0;
    for (const pull of tally.last.values()) {
      if (isLive(pull)) pulling += 1;
      else if (pull.outcome === 'failed') failed += 1;
    }
    const { pulls: timedPulls, p50, p95 } = durationStats(tally.completed);
    return {
      key,
      image: tally.image,
      digest: [...tally.digests].at(-1),
      digests: tally.digests.size,
      present: tally.present.size,
      pulling,
      failed,
      bytes: tally.bytes,
      p50,
      p95,
      timedPulls,
      cached: tally.total > 0 ? tally.cached / tally.total : undefined,
      pods: tally.pods.size,
    };
  });
}

/** The last pull of an image on each node: live, then failed, then most recently ended. */
export function lastPulls(rows: Iterable<PullStatus>, key: string): PullStatus[] {
  const candidates: PullStatus[] = [];
  for (const pull of rows) {
    if (pull.imageRef === undefined || nameWithKey(pull).key === key) candidates.push(pull);
  }
  const tally = tallyByImage(candidates).get(key);
  const rank = (pull: PullStatus): number => (isLive(pull) ? 0 : pull.outcome === 'failed' ? 1 : 2);
  return [...(tally?.last.values() ?? [])].sort(
    (a, b) =>
      rank(a) - rank(b) ||
      (rank(a) === 0 ? 0 : endedAt(b) - endedAt(a)) ||
      (a.nodeName < b.nodeName ? -1 : 1),
  );
}

/** Returns whether the image matches all words. */
export function imageMatches({ image, digest, key }: ImageEntry, words: readonly string[]): boolean {
  const text = `${key} ${image.registry} ${digest ?? ''}`.toLowerCase();
  return words.every((word) => text.includes(word));
}
