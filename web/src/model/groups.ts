// What is going on, by what people ask for: an image, a node, a namespace, a pod. One group is one rollout: its live
// pulls, and those that ended shortly before the rest began.

import type { PullStatus } from '../api/gen/wire';
import { endedAt } from './ended';
import { instant } from './format';
import { shortName } from './image';
import { isLive, isSeen, pullState } from './pull';
import { podKey } from './totals';
import { imageKey } from './trouble';

export const BY = ['image', 'node', 'namespace', 'pod'] as const;
export type By = (typeof BY)[number];

/** How one pull of a group stands, in the order in which they are drawn: what is done comes first. */
export const DOTS = ['ready', 'extracting', 'downloading', 'stalled', 'unseen', 'waiting', 'failed'] as const;
export type Dot = (typeof DOTS)[number];

/** The pull that its group waits for longest. */
export interface Straggler {
  pull: PullStatus;
  /** Undefined where it is stalled. */
  seconds: number | undefined;
  trouble: 'stalled' | 'slow' | undefined;
}

export interface Group {
  /** The same for as long as it is that group; empty of pulls that are in none. */
  key: string;
  /** One of its pulls, for what they have in common. */
  any: PullStatus;
  live: number;
  /** Live ones that wait in a kubelet's queue. */
  queued: number;
  /** How many of all its pulls completed: each image counts once for each node. */
  ready: number;
  all: number;
  dots: Readonly<Record<Dot, number>>;
  /** Shares of all bytes, 0 to 1. Undefined where no size is known. */
  downloaded: number | undefined;
  extracted: number | undefined;
  /** 0 to 100; 100 only where all completed. */
  percent: number | undefined;
  speed: number | undefined;
  slowest: Straggler | undefined;
  /** What else they are of, each once; empty of what it is grouped by. */
  images: readonly string[];
  nodes: readonly string[];
  namespaces: readonly string[];
  /** Pods that wait for live ones. */
  pods: number;
}

/** A pull that ended so long before the next one began is of another rollout. */
const APART_MS = 120_000;

/** A group before it is looked at: cheap, as with many pulls there are many of which few are shown. */
export interface Rollout {
  key: string;
  by: By;
  /** When the first of those that make it a group was announced or began. */
  since: number;
  /** Bytes to come of live pulls of known sizes. */
  toGo: number;
  live: readonly PullStatus[];
  ended: readonly PullStatus[];
  /** Those that make it a group: live ones, or else those that ended just now. */
  of: readonly PullStatus[];
}

interface Members {
  live: PullStatus[];
  ended: PullStatus[];
}

/** What the pull is in: once in most of them, but in each pod that waits for it. */
function keys(pull: PullStatus, by: By): readonly string[] {
  if (by === 'image') return [imageKey(pull)];
  if (by === 'node') return [pull.nodeName];
  const { pods = [] } = pull;
  if (pods.length === 0) return [''];
  const names = pods.map(({ namespace, podName }) => (by === 'pod' ? `${namespace}/${podName}` : namespace));
  return names.length === 1 ? names : [...new Set(names)];
}

/** What is done stays so long, so that it is seen to be done. */
const LINGERS_MS = 8_000;

/** Those in which something is going on, or was until just before `now`; in no order. */
export function rollouts(pulls: Iterable<PullStatus>, by: By, now: number): Rollout[] {
  const found = new Map<string, Members>();
  for (const pull of pulls) {
    const live = isLive(pull);
    if (!live && pull.outcome !== 'completed' && pull.outcome !== 'failed') continue;
    for (const key of keys(pull, by)) {
      let members = found.get(key);
      if (members === undefined) {
        members = { live: [], ended: [] };
        found.set(key, members);
      }
      members[live ? 'live' : 'ended'].push(pull);
    }
  }
  const going: Rollout[] = [];
  for (const [key, { live, ended }] of found) {
    const of = live.length > 0 ? live : fresh(ended, now);
    if (of.length === 0) continue;
    let toGo = 0;
    for (const { toDownloadBytes: whole = 0, downloadedBytes: here = 0 } of live)
      toGo += Math.max(0, whole - here);
    going.push({ key, by, since: first(of), toGo, live, ended, of });
  }
  return going;
}

function fresh(ended: readonly PullStatus[], now: number): PullStatus[] {
  return ended.filter((pull) => now - endedAt(pull) < LINGERS_MS && pull.outcome === 'completed');
}

const begun = (pull: PullStatus): string => pull.queuedAt ?? pull.startedAt ?? '';

/** The first of the instants, which are told in one format: so only one of them must be read. */
function first(pulls: readonly PullStatus[]): number {
  let told = '~';
  for (const pull of pulls) if (begun(pull) < told) told = begun(pull);
  return instant(told) ?? 0;
}

/** What tells the pulls of one group apart that are of one image and node. */
const PLACE: Record<By, (pull: PullStatus) => string> = {
  image: (pull) => pull.nodeName,
  node: imageKey,
  namespace: (pull) => `${pull.nodeName} ${imageKey(pull)}`,
  pod: imageKey,
};

/** The ended ones that belong to what goes on: the last one of each image and node. */
function wave({ by, live, ended, since }: Rollout): PullStatus[] {
  if (ended.length === 0) return [];
  const place = PLACE[by];
  const seen = new Set(live.map(place));
  const taken: PullStatus[] = [];
  let from = since;
  for (const pull of ended.toSorted((a, b) => endedAt(b) - endedAt(a))) {
    if (endedAt(pull) < from - APART_MS) break;
    from = Math.min(from, instant(begun(pull)) ?? from);
    if (seen.has(place(pull))) continue;
    seen.add(place(pull));
    taken.push(pull);
  }
  return taken;
}

function dot(pull: PullStatus): Dot {
  const state = pullState(pull);
  if (state === 'completed') return 'ready';
  if (state === 'extracting' || state === 'downloading' || state === 'stalled') return state;
  if (state === 'unseen' || state === 'failed') return state;
  return 'waiting';
}

const toExtract = (pull: PullStatus): number | undefined => pull.toExtractBytes ?? pull.toDownloadBytes;

export function group(rollout: Rollout): Group {
  const { key, by, live, of } = rollout;
  const all = [...live, ...wave(rollout)];
  const dots: Record<Dot, number> = {
    ready: 0,
    extracting: 0,
    downloading: 0,
    stalled: 0,
    unseen: 0,
    waiting: 0,
    failed: 0,
  };
  for (const pull of all) dots[dot(pull)] += 1;
  const images = new Map<string, PullStatus>();
  const nodes = new Set<string>();
  const namespaces = new Set<string>();
  const pods = new Set<string>();
  let queued = 0;
  let speed: number | undefined;
  for (const pull of of) {
    if (by !== 'image') images.set(imageKey(pull), pull);
    if (by !== 'node') nodes.add(pull.nodeName);
    if (by !== 'namespace') for (const { namespace } of pull.pods ?? []) namespaces.add(namespace);
  }
  for (const pull of live) {
    for (const link of pull.pods ?? []) pods.add(podKey(link));
    if (!isSeen(pull)) continue;
    if (pull.phase === 'queued') queued += 1;
    if (pull.bytesPerSec !== undefined) speed = (speed ?? 0) + pull.bytesPerSec;
  }
  return {
    key,
    any: of[0] as PullStatus,
    live: live.length,
    queued,
    ready: dots.ready,
    all: all.length,
    dots,
    ...amounts(all),
    speed,
    slowest: slowest(live),
    images: [...images.values()].map(shortName),
    nodes: [...nodes],
    namespaces: [...namespaces],
    pods: pods.size,
  };
}

/** Both stages of all of them. One whose size is not known yet counts as the others do on average. */
function amounts(all: readonly PullStatus[]): Pick<Group, 'downloaded' | 'extracted' | 'percent'> {
  let sized = 0;
  let bytes = 0;
  let downloaded = 0;
  let toUnpack = 0;
  let extracted = 0;
  let percents = 0;
  for (const pull of all) {
    const whole = pull.toDownloadBytes;
    const unpacked = toExtract(pull);
    if (pull.outcome === 'failed' || whole === undefined || unpacked === undefined) continue;
    const done = pull.outcome === 'completed';
    sized += 1;
    bytes += whole;
    downloaded += done ? whole : Math.min(whole, pull.downloadedBytes ?? 0);
    toUnpack += unpacked;
    extracted += done ? unpacked : Math.min(unpacked, pull.extractedBytes ?? 0);
    percents += (done ? 100 : (pull.percent ?? 0)) * unpacked;
  }
  const ready = all.every((pull) => pull.outcome === 'completed');
  if (sized === 0 || toUnpack === 0) {
    return { downloaded: undefined, extracted: undefined, percent: ready ? 100 : undefined };
  }
  const grown = all.length / sized;
  return {
    downloaded: bytes === 0 ? 1 / grown : downloaded / (bytes * grown),
    extracted: extracted / (toUnpack * grown),
    percent: ready ? 100 : Math.min(99, percents / (toUnpack * grown)),
  };
}

/** One that is stalled, else the one with the most time left. */
function slowest(live: readonly PullStatus[]): Straggler | undefined {
  let last: PullStatus | undefined;
  for (const pull of live) {
    if (!isSeen(pull)) continue;
    if (pull.stalledSince !== undefined) return { pull, seconds: undefined, trouble: 'stalled' };
    if (pull.etaSeconds === undefined) continue;
    if (last === undefined || pull.etaSeconds > (last.etaSeconds ?? 0)) last = pull;
  }
  return last && { pull: last, seconds: last.etaSeconds, trouble: last.slow ? 'slow' : undefined };
}

/**
 * Where groups stand: those that are there stay in their places, and new ones come below, the oldest first. The ones
 * that are there first are in the order of what is to come of them.
 */
export class Places {
  #places: readonly string[] = [];

  sort(found: readonly Rollout[]): Rollout[] {
    const known = new Map(this.#places.map((key, place) => [key, place]));
    const fresh = known.size === 0;
    const place = (group: Rollout): number => known.get(group.key) ?? known.size;
    const sorted = [...found].sort(
      (a, b) =>
        // Those that are in no group come last.
        Number(a.key === '') - Number(b.key === '') ||
        place(a) - place(b) ||
        (fresh ? b.toGo - a.toGo : a.since - b.since) ||
        (a.key < b.key ? -1 : 1),
    );
    this.#places = sorted.map(({ key }) => key);
    return sorted;
  }
}

/** Which dots are drawn of so many: what is ready is counted before anything else is. */
export function drawn(
  dots: Readonly<Record<Dot, number>>,
  most: number,
): { shown: Record<Dot, number>; rest: number } {
  const shown = { ...dots };
  let over = DOTS.reduce((sum, kind) => sum + dots[kind], 0) - most;
  const rest = Math.max(0, over);
  for (const kind of [
    'ready',
    'waiting',
    'downloading',
    'extracting',
    'unseen',
    'stalled',
    'failed',
  ] as const) {
    if (over <= 0) break;
    const cut = Math.min(over, shown[kind]);
    shown[kind] -= cut;
    over -= cut;
  }
  return { shown, rest };
}
