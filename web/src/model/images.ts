// Each image that is pulled or was: on which nodes it is, how long it takes, how much of it was there before.

import type { PullStatus } from '../api/gen/wire';
import { endedAt, pullTimes } from './ended';
import { instant } from './format';
import { type ImageName, imageName } from './image';
import { isLive } from './pull';
import { podKey } from './totals';

/** One row of the table: flat, so that one that says the same is not drawn again. */
export interface ImageEntry {
  key: string;
  image: ImageName;
  /** What the name was seen to point to, the last one. */
  digest: string | undefined;
  /** More than one where the name was moved to another image meanwhile. */
  digests: number;
  /** Nodes to which it was brought, as far as their pulls are known. */
  have: number;
  /** Nodes that pull it or have it in their queue. */
  pulling: number;
  /** Nodes on which the last pull of it failed. */
  failed: number;
  bytes: number | undefined;
  /** Seconds. */
  p50: number | undefined;
  p95: number | undefined;
  /** From how many pulls these are. */
  timed: number;
  /** What of it was on the nodes before, 0 to 1. */
  cached: number | undefined;
  pods: number;
}

interface Gathered {
  image: ImageName;
  digests: Set<string>;
  last: Map<string, PullStatus>;
  have: Set<string>;
  completed: PullStatus[];
  bytes: number | undefined;
  cached: number;
  total: number;
  pods: Set<string>;
}

interface Named {
  key: string;
  image: ImageName;
}

// Many nodes pull the same image, and each beat asks again: a name is taken apart once.
const names = new Map<string, Named>();
const MOST_NAMES = 20_000;

function named(pull: PullStatus): Named {
  const digest = pull.rootDigest ?? pull.manifestDigest;
  const reference = pull.imageRef ?? (pull.repository && `${pull.repository} ${digest ?? ''}`);
  const text = reference ?? digest ?? '';
  const found = names.get(text);
  if (found) return found;
  if (names.size >= MOST_NAMES) names.clear();
  const image = imageName(pull);
  const { registry, name, version, known } = image;
  const key = known ? `${registry}${registry && '/'}${name}${version && `:${version}`}` : text || 'unknown';
  const next = { key, image };
  names.set(text, next);
  return next;
}

function gather(rows: Iterable<PullStatus>): Map<string, Gathered> {
  const found = new Map<string, Gathered>();
  const nameless: PullStatus[] = [];
  const byDigest = new Map<string, Gathered>();
  for (const pull of rows) {
    const { key, image } = named(pull);
    if (pull.imageRef === undefined) {
      nameless.push(pull);
      continue;
    }
    const one = gatherInto(found, key, image, pull);
    if (pull.rootDigest !== undefined) byDigest.set(pull.rootDigest, one);
  }
  // A pull whose whole name is not known yet is of the image that has its digest.
  for (const pull of nameless) {
    const { key, image } = named(pull);
    const known = byDigest.get(pull.rootDigest ?? '');
    if (known) take(known, pull);
    else gatherInto(found, key, image, pull);
  }
  return found;
}

function gatherInto(found: Map<string, Gathered>, key: string, image: ImageName, pull: PullStatus): Gathered {
  let one = found.get(key);
  if (one === undefined) {
    one = {
      image,
      digests: new Set(),
      last: new Map(),
      have: new Set(),
      completed: [],
      bytes: undefined,
      cached: 0,
      total: 0,
      pods: new Set(),
    };
    found.set(key, one);
  }
  take(one, pull);
  return one;
}

function take(one: Gathered, pull: PullStatus): void {
  const { nodeName, rootDigest, totalBytes, cachedBytes } = pull;
  if (rootDigest !== undefined) one.digests.add(rootDigest);
  const before = one.last.get(nodeName);
  if (before === undefined || later(pull, before)) one.last.set(nodeName, pull);
  if (pull.outcome === 'completed') {
    one.have.add(nodeName);
    one.completed.push(pull);
  }
  if (totalBytes !== undefined && totalBytes >= 0) {
    one.bytes = Math.max(one.bytes ?? 0, totalBytes);
    if (cachedBytes !== undefined) {
      one.cached += cachedBytes;
      one.total += totalBytes;
    }
  }
  for (const link of pull.pods ?? []) one.pods.add(podKey(link));
}

function later(a: PullStatus, b: PullStatus): boolean {
  if (isLive(a) !== isLive(b)) return isLive(a);
  return isLive(a) ? (instant(a.startedAt) ?? 0) > (instant(b.startedAt) ?? 0) : endedAt(a) > endedAt(b);
}

export function images(rows: Iterable<PullStatus>): ImageEntry[] {
  return [...gather(rows)].map(([key, one]) => {
    let pulling = 0;
    let failed = 0;
    for (const pull of one.last.values()) {
      if (isLive(pull)) pulling += 1;
      else if (pull.outcome === 'failed') failed += 1;
    }
    const { pulls: timed, p50, p95 } = pullTimes(one.completed);
    return {
      key,
      image: one.image,
      digest: [...one.digests].at(-1),
      digests: one.digests.size,
      have: one.have.size,
      pulling,
      failed,
      bytes: one.bytes,
      p50,
      p95,
      timed,
      cached: one.total > 0 ? one.cached / one.total : undefined,
      pods: one.pods.size,
    };
  });
}

/** The last pull of one image on each node: what goes on first, then what failed, then the last that ended. */
export function lastPulls(rows: Iterable<PullStatus>, key: string): PullStatus[] {
  const likely: PullStatus[] = [];
  for (const pull of rows) {
    if (pull.imageRef === undefined || named(pull).key === key) likely.push(pull);
  }
  const one = gather(likely).get(key);
  const rank = (pull: PullStatus): number => (isLive(pull) ? 0 : pull.outcome === 'failed' ? 1 : 2);
  return [...(one?.last.values() ?? [])].sort(
    (a, b) =>
      rank(a) - rank(b) ||
      (rank(a) === 0 ? 0 : endedAt(b) - endedAt(a)) ||
      (a.nodeName < b.nodeName ? -1 : 1),
  );
}

/** Whether it has all words of what somebody looks for. */
export function imageMatches({ image, digest, key }: ImageEntry, words: readonly string[]): boolean {
  const text = `${key} ${image.registry} ${digest ?? ''}`.toLowerCase();
  return words.every((word) => text.includes(word));
}
