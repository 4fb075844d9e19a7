// What failed, as people go about it: one entry for each reason, image and registry, whoever met it.

import type { PullStatus } from '../api/gen/wire';
import { endedAt } from './ended';
import { instant } from './format';
import { type ImageName, imageName } from './image';
import { isLive } from './pull';

export interface FailureGroup {
  /** The same for as long as it is that failure. */
  key: string;
  /** The wire's word: `not_found`. */
  reason: string;
  image: ImageName;
  /** Of the last one that failed: what was said, what to do, when it is tried again. */
  last: PullStatus;
  /** Those that failed, the last one first. */
  pulls: readonly PullStatus[];
  /** Live pulls that try again what failed. */
  retrying: readonly PullStatus[];
  nodes: number;
  /** `namespace/name` of those that wait or waited. */
  pods: readonly string[];
  /** How often it was tried, as far as anybody counted. */
  tries: number;
  firstAt: number | undefined;
  lastAt: number | undefined;
}

const nameKey = ({ registry, name, version }: ImageName): string => `${registry} ${name} ${version}`;

/** One image on one node: what one try of it left undone there, a later one may have done. */
function place(pull: PullStatus): string | undefined {
  const name = imageName(pull);
  return name.known ? `${pull.nodeName} ${nameKey(name)}` : undefined;
}

/** What failed, by its own id, and by that of the live pull that tries it again. */
export type Tried = ReadonlyMap<string, PullStatus>;

/**
 * A next try supersedes the row of what failed, and says nothing of it. So that a failure does not come and go with
 * each try, what failed is remembered for as long as a try of it lives.
 */
export function tried(rows: Iterable<PullStatus>, before: Tried): Tried {
  const next = new Map<string, PullStatus>();
  for (const pull of rows) {
    if (pull.outcome === 'failed') next.set(pull.id, pull);
    else if (before.size > 0 && pull.supersedes !== undefined && isLive(pull)) {
      // A try may go on under a third id, once it is seen.
      const of = before.get(pull.id) ?? before.get(pull.supersedes);
      if (of) next.set(pull.id, of);
    }
  }
  return next;
}

/**
 * The latest first. What was brought since, to the same node, is no failure any more; what is tried again just now
 * still is one. Costs next to nothing where nothing failed.
 */
export function failures(rows: Iterable<PullStatus>, again: Tried = new Map()): FailureGroup[] {
  const failed: PullStatus[] = [];
  const others: PullStatus[] = [];
  for (const pull of rows) {
    const before = pull.outcome === 'failed' ? pull : again.get(pull.id);
    if (before) failed.push(before);
    if (before === pull) continue;
    if (pull.outcome === 'completed' || (pull.attempt !== undefined && isLive(pull))) others.push(pull);
  }
  if (failed.length === 0) return [];

  const nodes = new Set(failed.map((pull) => pull.nodeName));
  const brought = new Map<string, number>();
  const retrying = new Map<string, PullStatus[]>();
  for (const pull of others) {
    const at = nodes.has(pull.nodeName) ? place(pull) : undefined;
    if (at === undefined) continue;
    if (pull.outcome === 'completed') brought.set(at, Math.max(brought.get(at) ?? 0, endedAt(pull)));
    else if ((pull.attempt ?? 1) > 1) add(retrying, at, pull);
  }

  const groups = new Map<string, PullStatus[]>();
  for (const pull of failed) {
    if ((brought.get(place(pull) ?? '') ?? 0) > endedAt(pull)) continue;
    add(groups, `${pull.failure?.reason ?? 'unexplained'} ${nameKey(imageName(pull))}`, pull);
  }
  return [...groups]
    .map(([key, pulls]) => {
      const places = new Set(pulls.map((pull) => place(pull) ?? ''));
      const again = [...places].flatMap((at) => retrying.get(at) ?? []);
      return group(
        key,
        pulls.sort((a, b) => endedAt(b) - endedAt(a)),
        again,
      );
    })
    .sort((a, b) => (b.lastAt ?? 0) - (a.lastAt ?? 0) || (a.key < b.key ? -1 : 1));
}

function add<T>(map: Map<string, T[]>, key: string, value: T): void {
  const list = map.get(key);
  if (list) list.push(value);
  else map.set(key, [value]);
}

function group(key: string, pulls: PullStatus[], retrying: PullStatus[]): FailureGroup {
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
    tries: tries(pulls, retrying),
    firstAt: endedAt(pulls.at(-1) ?? last) || undefined,
    lastAt: endedAt(last) || undefined,
  };
}

/**
 * A pull says which try of its pod it is, and rows of earlier tries may be there or gone: what counts is the highest
 * number of each pod on each node, or the rows where nobody numbered them.
 */
function tries(pulls: readonly PullStatus[], retrying: readonly PullStatus[]): number {
  const lines = new Map<string, { rows: number; highest: number }>();
  for (const pull of [...pulls, ...retrying]) {
    const pod = pull.pods?.[0];
    const line = `${pull.nodeName} ${pod ? `${pod.uid} ${pod.container}` : ''}`;
    const { rows, highest } = lines.get(line) ?? { rows: 0, highest: 0 };
    lines.set(line, { rows: rows + 1, highest: Math.max(highest, pull.attempt ?? 1) });
  }
  let sum = 0;
  for (const { rows, highest } of lines.values()) sum += Math.max(rows, highest);
  return sum;
}

/** When one of them is tried again: the soonest that is still to come, or else the last that was due. */
export function nextRetry({ pulls }: Pick<FailureGroup, 'pulls'>, now: number): number | undefined {
  let next: number | undefined;
  let due: number | undefined;
  for (const pull of pulls) {
    const at = instant(pull.failure?.nextRetryAt);
    if (at === undefined) continue;
    if (at >= now) next = Math.min(next ?? at, at);
    else due = Math.max(due ?? at, at);
  }
  return next ?? due;
}

const known = new WeakMap<object, readonly FailureGroup[]>();
/** By the rows of a store, which are the same object for as long as it is there. */
const remembered = new WeakMap<object, Tried>();

/** The same, worked out once for all who ask of the same beat. */
export function failing(all: { rows: ReadonlyMap<string, PullStatus> }): readonly FailureGroup[] {
  const found = known.get(all);
  if (found) return found;
  const again = tried(all.rows.values(), remembered.get(all.rows) ?? new Map());
  remembered.set(all.rows, again);
  const worked = failures(all.rows.values(), again);
  known.set(all, worked);
  return worked;
}
