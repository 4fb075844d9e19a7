// Rollouts in progress, grouped by image, node, namespace or pod. A rollout consists of live pulls
// and of pulls that ended shortly before the others started.

import type { PullStatus } from '../api/gen/wire';
import { endedAt } from './ended';
import { parseInstant } from './format';
import { shortName } from './image';
import { imageKey } from './issues';
import { positionsOf } from './keepPositions';
import { isFresh, isLive, pullState } from './pull';
import { podKey } from './totals';

export const ROLLOUT_GROUPINGS = ['image', 'node', 'namespace', 'pod'] as const;
export type RolloutGrouping = (typeof ROLLOUT_GROUPINGS)[number];

/** States of the pulls of a group, in drawing order: finished first. */
export const DOT_STATES = [
  'ready',
  'extracting',
  'downloading',
  'stalled',
  'unseen',
  'waiting',
  'failed',
] as const;
export type DotState = (typeof DOT_STATES)[number];

/** The pull that its group waits for longest. */
export interface Straggler {
  pull: PullStatus;
  /** Undefined if it is stalled. */
  etaSeconds: number | undefined;
  trouble: 'stalled' | 'slow' | undefined;
}

export interface RolloutSummary {
  /** Stable for as long as the group exists; empty for pulls without a group. */
  key: string;
  /** One of the pulls, for properties that all share. */
  example: PullStatus;
  live: number;
  /** Live pulls waiting in a kubelet's queue. */
  queued: number;
  /** Number of completed pulls. An image counts once per node. */
  ready: number;
  all: number;
  dots: Readonly<Record<DotState, number>>;
  /** Shares of all bytes, 0 to 1. Undefined if no size is known. */
  downloaded: number | undefined;
  extracted: number | undefined;
  /** 0 to 100; 100 only if all pulls completed. */
  percent: number | undefined;
  speed: number | undefined;
  straggler: Straggler | undefined;
  /** Distinct values of the other properties; empty for the one that the group is keyed by. */
  images: readonly string[];
  nodes: readonly string[];
  namespaces: readonly string[];
  /** Pods waiting for live pulls. */
  pods: number;
}

/** A pull that ended this long before the next one started belongs to another rollout. */
const ROLLOUT_GAP_MS = 120_000;

/**
 * A rollout before it is summarized. Cheap: with many pulls there are many rollouts, of which few
 * are shown.
 */
export interface Rollout {
  key: string;
  by: RolloutGrouping;
  /** Earliest announcement or start of the pulls in `current`. */
  since: number;
  /** Remaining bytes of live pulls with known sizes. */
  remainingBytes: number;
  live: readonly PullStatus[];
  ended: readonly PullStatus[];
  /** Live pulls, or those that completed just now if there are none. */
  current: readonly PullStatus[];
}

interface GroupMembers {
  live: PullStatus[];
  ended: PullStatus[];
}

/** Group keys of a pull: one, except that a pull has one key per waiting pod or namespace. */
function groupKeys(pull: PullStatus, by: RolloutGrouping): readonly string[] {
  if (by === 'image') return [imageKey(pull)];
  if (by === 'node') return [pull.nodeName];
  const { pods = [] } = pull;
  if (pods.length === 0) return [''];
  const names = pods.map(({ namespace, podName }) => (by === 'pod' ? `${namespace}/${podName}` : namespace));
  return names.length === 1 ? names : [...new Set(names)];
}

/** Completed rollouts stay visible for this time. */
const LINGER_MS = 8_000;

/** Rollouts that are in progress or completed just before `now`, unordered. */
export function findRollouts(pulls: Iterable<PullStatus>, by: RolloutGrouping, now: number): Rollout[] {
  const found = new Map<string, GroupMembers>();
  for (const pull of pulls) {
    const live = isLive(pull);
    if (!live && pull.outcome !== 'completed' && pull.outcome !== 'failed') continue;
    for (const key of groupKeys(pull, by)) {
      let members = found.get(key);
      if (members === undefined) {
        members = { live: [], ended: [] };
        found.set(key, members);
      }
      members[live ? 'live' : 'ended'].push(pull);
    }
  }
  const rollouts: Rollout[] = [];
  for (const [key, { live, ended }] of found) {
    const current = live.length > 0 ? live : justCompleted(ended, now);
    if (current.length === 0) continue;
    let remainingBytes = 0;
    for (const { toDownloadBytes: toDownload = 0, downloadedBytes: downloaded = 0 } of live)
      remainingBytes += Math.max(0, toDownload - downloaded);
    rollouts.push({ key, by, since: earliestStart(current), remainingBytes, live, ended, current });
  }
  return rollouts;
}

function justCompleted(ended: readonly PullStatus[], now: number): PullStatus[] {
  return ended.filter((pull) => now - endedAt(pull) < LINGER_MS && pull.outcome === 'completed');
}

const startText = (pull: PullStatus): string => pull.queuedAt ?? pull.startedAt ?? '';

/**
 * The earliest start. Instants share one format, so strings are compared and only one is parsed.
 */
function earliestStart(pulls: readonly PullStatus[]): number {
  let earliest = '~';
  for (const pull of pulls) if (startText(pull) < earliest) earliest = startText(pull);
  return parseInstant(earliest) ?? 0;
}

/** Identifies pulls of the same image and node within a group. */
const MEMBER_KEY: Record<RolloutGrouping, (pull: PullStatus) => string> = {
  image: (pull) => pull.nodeName,
  node: imageKey,
  namespace: (pull) => `${pull.nodeName} ${imageKey(pull)}`,
  pod: imageKey,
};

/** Ended pulls that belong to the rollout: the last one per image and node. */
function endedMembers({ by, live, ended, since }: Rollout): PullStatus[] {
  if (ended.length === 0) return [];
  const memberKey = MEMBER_KEY[by];
  const seen = new Set(live.map(memberKey));
  const members: PullStatus[] = [];
  let from = since;
  for (const pull of ended.toSorted((a, b) => endedAt(b) - endedAt(a))) {
    if (endedAt(pull) < from - ROLLOUT_GAP_MS) break;
    from = Math.min(from, parseInstant(startText(pull)) ?? from);
    if (seen.has(memberKey(pull))) continue;
    seen.add(memberKey(pull));
    members.push(pull);
  }
  return members;
}

function dotState(pull: PullStatus): DotState {
  const state = pullState(pull);
  if (state === 'completed') return 'ready';
  if (state === 'extracting' || state === 'downloading' || state === 'stalled') return state;
  if (state === 'unseen' || state === 'failed') return state;
  return 'waiting';
}

const toExtract = (pull: PullStatus): number | undefined => pull.toExtractBytes ?? pull.toDownloadBytes;

export function summarizeRollout(rollout: Rollout): RolloutSummary {
  const { key, by, live, current } = rollout;
  const all = [...live, ...endedMembers(rollout)];
  const dots: Record<DotState, number> = {
    ready: 0,
    extracting: 0,
    downloading: 0,
    stalled: 0,
    unseen: 0,
    waiting: 0,
    failed: 0,
  };
  for (const pull of all) dots[dotState(pull)] += 1;
  const images = new Map<string, PullStatus>();
  const nodes = new Set<string>();
  const namespaces = new Set<string>();
  const pods = new Set<string>();
  let queued = 0;
  let speed: number | undefined;
  for (const pull of current) {
    if (by !== 'image') images.set(imageKey(pull), pull);
    if (by !== 'node') nodes.add(pull.nodeName);
    if (by !== 'namespace') for (const { namespace } of pull.pods ?? []) namespaces.add(namespace);
  }
  for (const pull of live) {
    for (const link of pull.pods ?? []) pods.add(podKey(link));
    if (!isFresh(pull)) continue;
    if (pull.phase === 'queued') queued += 1;
    if (pull.bytesPerSec !== undefined) speed = (speed ?? 0) + pull.bytesPerSec;
  }
  return {
    key,
    example: current[0] as PullStatus,
    live: live.length,
    queued,
    ready: dots.ready,
    all: all.length,
    dots,
    ...groupProgress(all),
    speed,
    straggler: findStraggler(live),
    images: [...images.values()].map(shortName),
    nodes: [...nodes],
    namespaces: [...namespaces],
    pods: pods.size,
  };
}

/** Progress of both stages. Pulls of unknown size count with the average of the others. */
function groupProgress(
  all: readonly PullStatus[],
): Pick<RolloutSummary, 'downloaded' | 'extracted' | 'percent'> {
  let sized = 0;
  let bytes = 0;
  let downloaded = 0;
  let toUnpack = 0;
  let extracted = 0;
  let percents = 0;
  for (const pull of all) {
    const toDownload = pull.toDownloadBytes;
    const unpacked = toExtract(pull);
    if (pull.outcome === 'failed' || toDownload === undefined || unpacked === undefined) continue;
    const done = pull.outcome === 'completed';
    sized += 1;
    bytes += toDownload;
    downloaded += done ? toDownload : Math.min(toDownload, pull.downloadedBytes ?? 0);
    toUnpack += unpacked;
    extracted += done ? unpacked : Math.min(unpacked, pull.extractedBytes ?? 0);
    percents += (done ? 100 : (pull.percent ?? 0)) * unpacked;
  }
  const ready = all.every((pull) => pull.outcome === 'completed');
  if (sized === 0 || toUnpack === 0) {
    return { downloaded: undefined, extracted: undefined, percent: ready ? 100 : undefined };
  }
  const scale = all.length / sized;
  return {
    downloaded: bytes === 0 ? 1 / scale : downloaded / (bytes * scale),
    extracted: extracted / (toUnpack * scale),
    percent: ready ? 100 : Math.min(99, percents / (toUnpack * scale)),
  };
}

/** A stalled pull, or else the one with the longest ETA. */
function findStraggler(live: readonly PullStatus[]): Straggler | undefined {
  let slowest: PullStatus | undefined;
  for (const pull of live) {
    if (!isFresh(pull)) continue;
    if (pull.stalledSince !== undefined) return { pull, etaSeconds: undefined, trouble: 'stalled' };
    if (pull.etaSeconds === undefined) continue;
    if (slowest === undefined || pull.etaSeconds > (slowest.etaSeconds ?? 0)) slowest = pull;
  }
  return (
    slowest && { pull: slowest, etaSeconds: slowest.etaSeconds, trouble: slowest.slow ? 'slow' : undefined }
  );
}

/**
 * Positions of rollouts: known ones stay in place, new ones are appended, oldest first. The first
 * call sorts by remaining bytes.
 */
export class RolloutOrder {
  #order: readonly string[] = [];

  sort(found: readonly Rollout[]): Rollout[] {
    const positions = positionsOf(this.#order);
    const isFirstSort = positions.size === 0;
    const rank = (group: Rollout): number => positions.get(group.key) ?? positions.size;
    const sorted = [...found].sort(
      (a, b) =>
        // Pulls without a group sort last.
        Number(a.key === '') - Number(b.key === '') ||
        rank(a) - rank(b) ||
        (isFirstSort ? b.remainingBytes - a.remainingBytes : a.since - b.since) ||
        (a.key < b.key ? -1 : 1),
    );
    this.#order = sorted.map(({ key }) => key);
    return sorted;
  }
}

/**
 * Limits the number of dots: ready ones are dropped first. `rest` is the number of dropped dots.
 */
export function limitDots(
  dots: Readonly<Record<DotState, number>>,
  limit: number,
): { shown: Record<DotState, number>; rest: number } {
  const shown = { ...dots };
  let excess = DOT_STATES.reduce((sum, kind) => sum + dots[kind], 0) - limit;
  const rest = Math.max(0, excess);
  for (const kind of [
    'ready',
    'waiting',
    'downloading',
    'extracting',
    'unseen',
    'stalled',
    'failed',
  ] as const) {
    if (excess <= 0) break;
    const cut = Math.min(excess, shown[kind]);
    shown[kind] -= cut;
    excess -= cut;
  }
  return { shown, rest };
}
