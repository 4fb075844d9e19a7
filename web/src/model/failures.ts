// Failures grouped by reason, image and registry.

import type { PullStatus } from '../api/gen/wire';
import { endedAt } from './ended';
import { parseInstant } from './format';
import { type ImageName, imageName } from './image';
import { isLive } from './pull';

export interface FailureGroup {
  /** Stable for as long as the failure exists. */
  key: string;
  /** The reason on the wire, such as `not_found`. */
  reason: string;
  image: ImageName;
  /** The pull that failed last; its message, hint and next retry are shown. */
  last: PullStatus;
  /** Failed pulls, latest first. */
  pulls: readonly PullStatus[];
  /** Live pulls that retry a failed one. */
  retrying: readonly PullStatus[];
  nodes: number;
  /** `namespace/name` of pods that wait or waited for the image. */
  pods: readonly string[];
  /** Number of counted attempts. */
  attempts: number;
  firstAt: number | undefined;
  lastAt: number | undefined;
}

const nameKey = ({ registry, name, version }: ImageName): string => `${registry} ${name} ${version}`;

/** Key of one image on one node. A later completed pull with the same key resolves the failure. */
function imageOnNode(pull: PullStatus): string | undefined {
  const name = imageName(pull);
  return name.known ? `${pull.nodeName} ${nameKey(name)}` : undefined;
}

/** Failed pulls by their own id and by the id of the live pull that retries them. */
export type RetriedFailures = ReadonlyMap<string, PullStatus>;

/**
 * A retry supersedes the row of the failed pull and does not carry its failure. The failed pull is
 * remembered while its retry is live, so that the failure does not flicker with each attempt.
 */
export function trackRetries(rows: Iterable<PullStatus>, previous: RetriedFailures): RetriedFailures {
  const next = new Map<string, PullStatus>();
  for (const pull of rows) {
    if (pull.outcome === 'failed') next.set(pull.id, pull);
    else if (previous.size > 0 && pull.supersedes !== undefined && isLive(pull)) {
      // A retry gets a third id once its pull starts.
      const failure = previous.get(pull.id) ?? previous.get(pull.supersedes);
      if (failure) next.set(pull.id, failure);
    }
  }
  return next;
}

/**
 * Groups failures, latest first. Failures followed by a success on the same node are omitted;
 * failures being retried are included. Costs almost nothing if no pull failed.
 */
export function groupFailures(
  rows: Iterable<PullStatus>,
  retried: RetriedFailures = new Map(),
): FailureGroup[] {
  const failed: PullStatus[] = [];
  const others: PullStatus[] = [];
  for (const pull of rows) {
    const before = pull.outcome === 'failed' ? pull : retried.get(pull.id);
    if (before) failed.push(before);
    if (before === pull) continue;
    if (pull.outcome === 'completed' || (pull.attempt !== undefined && isLive(pull))) others.push(pull);
  }
  if (failed.length === 0) return [];

  const nodes = new Set(failed.map((pull) => pull.nodeName));
  const completedAt = new Map<string, number>();
  const retrying = new Map<string, PullStatus[]>();
  for (const pull of others) {
    const at = nodes.has(pull.nodeName) ? imageOnNode(pull) : undefined;
    if (at === undefined) continue;
    if (pull.outcome === 'completed') completedAt.set(at, Math.max(completedAt.get(at) ?? 0, endedAt(pull)));
    else if ((pull.attempt ?? 1) > 1) append(retrying, at, pull);
  }

  const groups = new Map<string, PullStatus[]>();
  for (const pull of failed) {
    if ((completedAt.get(imageOnNode(pull) ?? '') ?? 0) > endedAt(pull)) continue;
    append(groups, `${pull.failure?.reason ?? 'unexplained'} ${nameKey(imageName(pull))}`, pull);
  }
  return [...groups]
    .map(([key, pulls]) => {
      const places = new Set(pulls.map((pull) => imageOnNode(pull) ?? ''));
      const retriedPulls = [...places].flatMap((at) => retrying.get(at) ?? []);
      return toGroup(
        key,
        pulls.sort((a, b) => endedAt(b) - endedAt(a)),
        retriedPulls,
      );
    })
    .sort((a, b) => (b.lastAt ?? 0) - (a.lastAt ?? 0) || (a.key < b.key ? -1 : 1));
}

function append<T>(map: Map<string, T[]>, key: string, value: T): void {
  const list = map.get(key);
  if (list) list.push(value);
  else map.set(key, [value]);
}

function toGroup(key: string, pulls: PullStatus[], retrying: PullStatus[]): FailureGroup {
  const last = pulls[0] as PullStatus;
  const pods = new Set<string>();
  for (const pull of [...pulls, ...retrying]) {
    for (const { namespace, podName } of pull.pods ?? []) pods.add(`${namespace}/${podName}`);
  }
  return {
    key,
    reason: last.failure?.reason ?? 'unexplained',
    image: imageName(last),
    last,
    pulls,
    retrying,
    nodes: new Set(pulls.map((pull) => pull.nodeName)).size,
    pods: [...pods],
    attempts: countAttempts(pulls, retrying),
    firstAt: endedAt(pulls.at(-1) ?? last) || undefined,
    lastAt: endedAt(last) || undefined,
  };
}

/**
 * Counts attempts. Each pull has the attempt number of its pod, and rows of earlier attempts may be
 * removed already: the highest number per pod and node counts, or the number of rows if there are
 * no numbers.
 */
function countAttempts(pulls: readonly PullStatus[], retrying: readonly PullStatus[]): number {
  const series = new Map<string, { rows: number; highest: number }>();
  for (const pull of [...pulls, ...retrying]) {
    const pod = pull.pods?.[0];
    const seriesKey = `${pull.nodeName} ${pod ? `${pod.uid} ${pod.container}` : ''}`;
    const { rows, highest } = series.get(seriesKey) ?? { rows: 0, highest: 0 };
    series.set(seriesKey, { rows: rows + 1, highest: Math.max(highest, pull.attempt ?? 1) });
  }
  let sum = 0;
  for (const { rows, highest } of series.values()) sum += Math.max(rows, highest);
  return sum;
}

/** Time of the next retry: the earliest in the future, else the latest in the past. */
export function nextRetry({ pulls }: Pick<FailureGroup, 'pulls'>, now: number): number | undefined {
  let next: number | undefined;
  let due: number | undefined;
  for (const pull of pulls) {
    const at = parseInstant(pull.failure?.nextRetryAt);
    if (at === undefined) continue;
    if (at >= now) next = Math.min(next ?? at, at);
    else due = Math.max(due ?? at, at);
  }
  return next ?? due;
}

const cache = new WeakMap<object, readonly FailureGroup[]>();
/** Keyed by the row map of a store, which stays the same object. */
const retriedByStore = new WeakMap<object, RetriedFailures>();

/** Groups the failures of a dataset, computed once per dataset. */
export function currentFailures(all: { rows: ReadonlyMap<string, PullStatus> }): readonly FailureGroup[] {
  const found = cache.get(all);
  if (found) return found;
  const retried = trackRetries(all.rows.values(), retriedByStore.get(all.rows) ?? new Map());
  retriedByStore.set(all.rows, retried);
  const groups = groupFailures(all.rows.values(), retried);
  cache.set(all, groups);
  return groups;
}
