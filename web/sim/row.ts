// A pull as the server would tell it, at a moment.

import type { LayerStatus, PodLink, PullStatus, WaitingOn } from '../src/api/gen/wire';
import { type LayerRecord, type NodeRecord, type PullRecord, toDownload, type Waiter } from './node';
import { chance } from './random';

/** The instant of a second of the story. */
export type Clock = (seconds: number) => string;

/** From when on a pull that waits, or does not move, is said to. */
const QUEUED_AFTER = 0.3;
const WAITS_AFTER = 2;
const STALLED_AFTER = 5;
const SLOW_AFTER = 6;
/** Speeds are measured over so many seconds. */
const MEASURED = 2;

const round = (value: number): number => Math.round(value * 10) / 10;
const isUndefined = (time: number | undefined, t: number): boolean => time === undefined || time > t;
const is = (time: number | undefined, t: number): time is number => time !== undefined && time <= t;

/** Whether it waited in the kubelet's queue long enough to be seen there. */
const queued = (pull: PullRecord): boolean =>
  (pull.startedAt ?? Number.POSITIVE_INFINITY) - pull.askedAt > QUEUED_AFTER;

/** What failed before its manifest was seen is told by the kubelet alone. */
const onlyTold = (pull: PullRecord): boolean => pull.manifestAt === undefined && pull.outcome === 'failed';

const nanoseconds = (at: string): string => `${Date.parse(at)}000000`;

function announcedId(pull: PullRecord, clock: Clock): string {
  const [first] = pull.waiters as [Waiter];
  return `announced~${pull.node}~k8s.io~${first.pod.uid}.${first.slot.container}~${nanoseconds(clock(pull.askedAt))}`;
}

function leaseId(pull: PullRecord, clock: Clock): string {
  const name = /([^/]*):[^/]*$/.exec(pull.image.ref)?.[1] ?? 'image';
  return `lease~${pull.node}~k8s.io~${pull.ordinal}-${name}~${nanoseconds(clock(pull.startedAt ?? 0))}`;
}

/** The id of its row once nothing changes it any more. */
export const lastId = (pull: PullRecord, clock: Clock): string =>
  onlyTold(pull) ? announcedId(pull, clock) : leaseId(pull, clock);

/** Its id at `t`. */
export const idAt = (pull: PullRecord, t: number, clock: Clock): string =>
  isUndefined(pull.startedAt, t) || onlyTold(pull) ? announcedId(pull, clock) : leaseId(pull, clock);

const EVIDENCE: readonly PodLink['evidence'][] = [
  'image_record',
  'digest',
  'learned_tag',
  'event',
  'only_candidate',
];

function links(pull: PullRecord, t: number): PodLink[] {
  return pull.waiters
    .filter(({ since }) => since <= Math.min(t, pull.endedAt ?? t))
    .map(({ pod, slot }) => ({
      namespace: pod.namespace,
      podName: pod.name,
      uid: pod.uid,
      container: slot.container,
      image: slot.image,
      evidence:
        pull.outcome === 'completed' && is(pull.endedAt, t)
          ? 'image_record'
          : EVIDENCE[Math.floor(chance('evidence', pull.image.ref, pull.node) * 2) + 2],
    }));
}

/** What stands before it in the kubelet's queue. */
function queue(record: NodeRecord, pull: PullRecord, t: number, clock: Clock): WaitingOn {
  const before = record.pulls.filter(
    (each) => each.ordinal < pull.ordinal && each.askedAt <= t && isUndefined(each.endedAt, t),
  );
  const last = before.at(-1);
  const left = (pull.startedAt ?? Number.NaN) - t;
  return {
    kind: 'kubelet_queue',
    since: clock(pull.askedAt),
    ...(last ? { pull: idAt(last, t, clock) } : {}),
    ahead: before.length,
    ...(left > 0 ? { etaSeconds: round(left) } : {}),
  };
}

function speed(layer: LayerRecord, t: number): number {
  const from = Math.max(layer.startedAt ?? t, t - MEASURED);
  return t <= from ? 0 : (layer.curve.at(t) - layer.curve.at(from)) / (t - from);
}

/** What of it is unpacked, 0 to 1. */
function extracted(layer: LayerRecord, t: number): number {
  if (is(layer.doneAt, t)) return 1;
  const { extractAt, extractUntil } = layer.origin === 'shared' ? (layer.from?.layer ?? layer) : layer;
  if (!is(extractAt, t) || extractUntil === undefined) return 0;
  return Math.min(1, (t - extractAt) / (extractUntil - extractAt));
}

/** How many bytes come out of a compressed one. */
const UNPACKED = 2.6;

function layerAt(pull: PullRecord, layer: LayerRecord, t: number, clock: Clock): LayerStatus {
  const { of, origin } = layer;
  const base = { digest: of.digest, mediaType: of.mediaType, createdBy: of.step, totalBytes: of.size };
  if (origin === 'cached' || origin === 'remote') return { ...base, state: origin };
  const downloadedBytes = Math.floor(layer.curve.at(t));
  const times = {
    ...(is(layer.startedAt, t) ? { startedAt: clock(layer.startedAt) } : {}),
    ...(is(layer.hereAt, t) ? { downloadedAt: clock(layer.hereAt) } : {}),
    ...(is(layer.extractAt, t) ? { extractingAt: clock(layer.extractAt) } : {}),
    ...(is(layer.doneAt, t) ? { completedAt: clock(layer.doneAt) } : {}),
  };
  const known = { ...base, downloadedBytes, ...times };
  if (is(layer.doneAt, t)) return { ...known, state: 'complete', downloadedBytes: of.size };
  if (layer.from && isUndefined(layer.hereAt, t)) {
    const waitingOn: WaitingOn = {
      kind: 'shared_layer',
      since: clock(pull.manifestAt ?? t),
      pull: idAt(layer.from.pull, t, clock),
      layer: of.digest,
    };
    return { ...known, state: 'waiting', waitingOn };
  }
  if (is(layer.extractAt, t)) {
    const unpackedBytes = Math.floor(extracted(layer, t) * of.size * UNPACKED);
    return { ...known, state: 'extracting', unpackedBytes };
  }
  if (is(layer.hereAt, t)) {
    return { ...known, state: 'downloaded', waitingOn: { kind: 'parent_layer', since: clock(layer.hereAt) } };
  }
  if (is(layer.startedAt, t))
    return { ...known, state: 'downloading', bytesPerSec: Math.round(speed(layer, t)) };
  return {
    ...known,
    state: 'waiting',
    waitingOn: { kind: 'download_slot', since: clock(pull.manifestAt ?? t) },
  };
}

/** What the row says as a whole, of its layers. */
function sums(pull: PullRecord, t: number) {
  const needed = pull.layers.filter(({ origin }) => origin === 'own' || origin === 'shared');
  const total = pull.layers.reduce((sum, { of }) => sum + of.size, 0);
  const to = toDownload(pull);
  const here = needed.reduce((sum, { curve }) => sum + Math.floor(curve.at(t)), 0);
  const unpacked = needed.reduce((sum, layer) => sum + extracted(layer, t) * layer.of.size, 0);
  return { needed, total, to, here, unpacked: Math.floor(unpacked) };
}

/** How much longer it takes: what the play knows, told as coarsely as a guess would be. */
function eta(pull: PullRecord, t: number, rate: number, left: { bytes: number; unpack: number }) {
  const stands =
    pull.stalledAt !== undefined &&
    t >= pull.stalledAt &&
    t < (pull.stalledUntil ?? Number.POSITIVE_INFINITY);
  if (stands) return {};
  const end = pull.outcome === 'completed' ? pull.endedAt : undefined;
  const guess =
    left.bytes > 0 && rate <= 0 ? undefined : (left.bytes > 0 ? left.bytes / rate : 0) + left.unpack;
  const seconds = end !== undefined && !pull.twist.stalls ? end - t : guess;
  if (seconds === undefined) return {};
  return {
    etaSeconds: round(seconds),
    etaLowSeconds: round(seconds * 0.85),
    etaHighSeconds: round(seconds * 1.3),
    etaBasis: chance('basis', pull.node) < 0.8 ? ('learned' as const) : ('assumed' as const),
  };
}

/** Number of a row: an announced pull and the one that is seen later are two rows. */
const numberOf = (pull: PullRecord, first: number, announced: boolean): number =>
  first + pull.ordinal * 2 + (announced ? 1 : 0);

export interface Context {
  record: NodeRecord;
  clock: Clock;
  /** Numbers of the rows of this node begin after it. */
  firstNumber: number;
  /** Whether pods are known. */
  pods: boolean;
}

/** The row at `t`; undefined where there is none, which is before, and where a later try took its place. */
export function rowAt(pull: PullRecord, time: number, context: Context): PullStatus | undefined {
  const { record, clock, pods } = context;
  // Nobody sees what happens on a node whose agent is silent.
  const silent = is(record.plan.silentAt, time) ? record.plan.silentAt : undefined;
  const t = silent ?? time;
  if (pull.askedAt > t) return undefined;
  const waits = isUndefined(pull.startedAt, t);
  if (waits && !pods) return undefined;
  const told = waits || onlyTold(pull);
  const supersedes = supersededBy(pull, told, clock);
  const base = {
    id: idAt(pull, t, clock),
    row: numberOf(pull, context.firstNumber, told),
    nodeName: pull.node,
    imageRef: pull.image.ref,
    repository: pull.image.ref.replace(/[@:][^/]*$/, ''),
    ...(pods ? { pods: links(pull, t), attempt: pull.attempt } : {}),
    ...(supersedes ? { supersedes } : {}),
    ...(pods && queued(pull) ? { queuedAt: clock(pull.askedAt) } : {}),
    startedAt: clock(waits ? pull.askedAt : (pull.startedAt ?? t)),
    ...(silent !== undefined && isUndefined(pull.endedAt, t) ? { staleSince: clock(silent) } : {}),
  };
  if (waits) {
    return { ...base, phase: 'queued', totalKnown: false, waitingOn: queue(record, pull, t, clock) };
  }
  const ended = is(pull.endedAt, t) ? ending(pull, clock) : undefined;
  if (isUndefined(pull.manifestAt, t)) {
    if (ended) return { ...base, totalKnown: false, ...ended };
    const since = (pull.startedAt ?? t) + WAITS_AFTER;
    const waitingOn = since <= t ? { waitingOn: { kind: 'registry' as const, since: clock(since) } } : {};
    return { ...base, phase: 'resolving', totalKnown: false, ...waitingOn };
  }
  return { ...base, ...seen(pull, t, context), ...ended };
}

function supersededBy(pull: PullRecord, told: boolean, clock: Clock): string | undefined {
  if (!told && queued(pull)) return announcedId(pull, clock);
  return pull.before ? lastId(pull.before, clock) : undefined;
}

function ending(pull: PullRecord, clock: Clock): Partial<PullStatus> & Pick<PullStatus, 'phase'> {
  const { outcome = 'unknown', endedAt = 0, startedAt = 0, failure, retryAt, askedAt } = pull;
  const took = round(endedAt - startedAt);
  return {
    phase: outcome,
    outcome,
    completedAt: clock(endedAt),
    ...(outcome === 'completed'
      ? {
          percent: 100,
          kubelet: { pullSeconds: took, withWaitingSeconds: round(endedAt - askedAt), agrees: true },
        }
      : {}),
    ...(failure
      ? { failure: { ...failure, ...(retryAt === undefined ? {} : { nextRetryAt: clock(retryAt) }) } }
      : {}),
  };
}

const still = ({ bytesPerSec: _, waitingOn: __, ...layer }: LayerStatus): LayerStatus => layer;

/** What is known of it since its manifest is here. */
function seen(
  pull: PullRecord,
  t: number,
  { record, clock }: Context,
): Omit<PullStatus, 'id' | 'nodeName' | 'startedAt'> {
  const live = isUndefined(pull.endedAt, t);
  const downloadingAt = clock(pull.manifestAt ?? t);
  const { needed, total, to, here, unpacked } = sums(pull, t);
  const rate = needed.reduce((sum, layer) => {
    const comes = layer.origin === 'own' && is(layer.startedAt, t) && isUndefined(layer.hereAt, t);
    return sum + (comes ? speed(layer, t) : 0);
  }, 0);
  const bytesPerSec = live && here < to ? { bytesPerSec: Math.round(rate) } : {};
  if (pull.twist.blind) {
    return { phase: 'downloading', totalKnown: false, downloadedBytes: here, downloadingAt, ...bytesPerSec };
  }
  const all = pull.layers.map((layer) => layerAt(pull, layer, t, clock));
  // What is over waits for nothing and has no speed.
  const layers = live ? all : all.map(still);
  const hereAt = needed.reduce(
    (at, layer) => Math.max(at, layer.hereAt ?? Number.POSITIVE_INFINITY),
    pull.manifestAt ?? t,
  );
  const known = {
    rootDigest: pull.image.rootDigest,
    manifestDigest: pull.image.manifestDigest,
    platform: 'linux/amd64',
    phase: here < to ? ('downloading' as const) : ('extracting' as const),
    totalKnown: true,
    totalBytes: total,
    cachedBytes: total - to,
    toDownloadBytes: to,
    downloadedBytes: here,
    toExtractBytes: to,
    extractedBytes: unpacked,
    percent: Math.min(99.9, to === 0 ? 99 : (70 * here + 30 * unpacked) / to),
    downloadingAt,
    ...(hereAt <= t ? { extractingAt: clock(hereAt) } : {}),
    layerCount: layers.length,
    layersDone: pull.layers.filter((layer) => is(layer.doneAt, t)).length,
    layers,
  };
  if (!live) return known;
  const stalled =
    pull.stalledAt !== undefined && t < (pull.stalledUntil ?? Number.POSITIVE_INFINITY)
      ? pull.stalledAt
      : undefined;
  const shared = layers.find(({ waitingOn }) => waitingOn?.kind === 'shared_layer')?.waitingOn;
  const quiet = !layers.some(({ state }) => state === 'downloading' || state === 'extracting');
  const slow = record.plan.slow && t - (pull.manifestAt ?? t) > SLOW_AFTER;
  const parallel = pull.layers.find((layer) => layer.origin === 'own' && isUndefined(layer.doneAt, t));
  const left = { bytes: to - here, unpack: parallel ? 0.5 : 0 };
  return {
    ...known,
    ...bytesPerSec,
    ...eta(pull, t, rate, left),
    ...(stalled !== undefined && t - stalled >= STALLED_AFTER ? { stalledSince: clock(stalled) } : {}),
    ...(quiet && shared ? { waitingOn: shared } : {}),
    ...(slow ? { slow: true } : {}),
  };
}
