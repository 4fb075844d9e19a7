// Pull status as the server reports it at a given time.

import type { LayerStatus, PodLink, PullStatus, WaitingOn } from '../src/api/gen/wire';
import { type LayerRecord, type NodeRecord, type PullRecord, toDownload, type Waiter } from './node';
import { random } from './random';

/** Formats a story second as an instant. */
export type Clock = (seconds: number) => string;

/** Delays in seconds before a state is reported. */
const QUEUED_AFTER = 0.3;
const WAITING_AFTER = 2;
const STALLED_AFTER = 5;
const SLOW_AFTER = 6;
/** Speeds are measured over this period, in seconds. */
const SPEED_WINDOW = 2;

const round = (value: number): number => Math.round(value * 10) / 10;
const notReached = (time: number | undefined, t: number): boolean => time === undefined || time > t;
const reached = (time: number | undefined, t: number): time is number => time !== undefined && time <= t;

/** Returns whether it waited in the kubelet's queue long enough to be observed. */
const wasQueued = (pull: PullRecord): boolean =>
  (pull.startedAt ?? Number.POSITIVE_INFINITY) - pull.requestedAt > QUEUED_AFTER;

/** A pull that failed before its manifest is known only from kubelet events. */
const isEventOnly = (pull: PullRecord): boolean => pull.manifestAt === undefined && pull.outcome === 'failed';

const nanoseconds = (at: string): string => `${Date.parse(at)}000000`;

function announcedId(pull: PullRecord, clock: Clock): string {
  const [first] = pull.waiters as [Waiter];
  return `announced~${pull.node}~k8s.io~${first.pod.uid}.${first.consumer.container}~${nanoseconds(clock(pull.requestedAt))}`;
}

function leaseId(pull: PullRecord, clock: Clock): string {
  const name = /([^/]*):[^/]*$/.exec(pull.image.ref)?.[1] ?? 'image';
  return `lease~${pull.node}~k8s.io~${pull.ordinal}-${name}~${nanoseconds(clock(pull.startedAt ?? 0))}`;
}

/** The final id of its row. */
export const finalId = (pull: PullRecord, clock: Clock): string =>
  isEventOnly(pull) ? announcedId(pull, clock) : leaseId(pull, clock);

/** The id at `t`. */
export const idAt = (pull: PullRecord, t: number, clock: Clock): string =>
  notReached(pull.startedAt, t) || isEventOnly(pull) ? announcedId(pull, clock) : leaseId(pull, clock);

const EVIDENCE: readonly PodLink['evidence'][] = [
  'image_record',
  'digest',
  'learned_tag',
  'event',
  'only_candidate',
];

function podLinks(pull: PullRecord, t: number): PodLink[] {
  return pull.waiters
    .filter(({ since }) => since <= Math.min(t, pull.endedAt ?? t))
    .map(({ pod, consumer }) => ({
      namespace: pod.namespace,
      podName: pod.name,
      uid: pod.uid,
      container: consumer.container,
      image: consumer.image,
      evidence:
        pull.outcome === 'completed' && reached(pull.endedAt, t)
          ? 'image_record'
          : EVIDENCE[Math.floor(random('evidence', pull.image.ref, pull.node) * 2) + 2],
    }));
}

/** The wait in the kubelet's queue. */
function queueWait(record: NodeRecord, pull: PullRecord, t: number, clock: Clock): WaitingOn {
  const before = record.pulls.filter(
    (each) => each.ordinal < pull.ordinal && each.requestedAt <= t && notReached(each.endedAt, t),
  );
  const last = before.at(-1);
  const left = (pull.startedAt ?? Number.NaN) - t;
  return {
    kind: 'kubelet_queue',
    since: clock(pull.requestedAt),
    ...(last ? { pull: idAt(last, t, clock) } : {}),
    ahead: before.length,
    ...(left > 0 ? { etaSeconds: round(left) } : {}),
  };
}

function speed(layer: LayerRecord, t: number): number {
  const from = Math.max(layer.startedAt ?? t, t - SPEED_WINDOW);
  return t <= from ? 0 : (layer.curve.at(t) - layer.curve.at(from)) / (t - from);
}

/** Extracted share, 0 to 1. */
function extracted(layer: LayerRecord, t: number): number {
  if (reached(layer.doneAt, t)) return 1;
  const { extractingAt, extractedAt } = layer.origin === 'shared' ? (layer.from?.layer ?? layer) : layer;
  if (!reached(extractingAt, t) || extractedAt === undefined) return 0;
  return Math.min(1, (t - extractingAt) / (extractedAt - extractingAt));
}

/** Uncompressed bytes per compressed byte. */
const UNPACK_RATIO = 2.6;

function layerAt(pull: PullRecord, layer: LayerRecord, t: number, clock: Clock): LayerStatus {
  const { spec, origin } = layer;
  const base = {
    digest: spec.digest,
    mediaType: spec.mediaType,
    createdBy: spec.step,
    totalBytes: spec.size,
  };
  if (origin === 'cached' || origin === 'remote') return { ...base, state: origin };
  const downloadedBytes = Math.floor(layer.curve.at(t));
  const times = {
    ...(reached(layer.startedAt, t) ? { startedAt: clock(layer.startedAt) } : {}),
    ...(reached(layer.downloadedAt, t) ? { downloadedAt: clock(layer.downloadedAt) } : {}),
    ...(reached(layer.extractingAt, t) ? { extractingAt: clock(layer.extractingAt) } : {}),
    ...(reached(layer.doneAt, t) ? { completedAt: clock(layer.doneAt) } : {}),
  };
  const fields = { ...base, downloadedBytes, ...times };
  if (reached(layer.doneAt, t)) return { ...fields, state: 'complete', downloadedBytes: spec.size };
  if (layer.from && notReached(layer.downloadedAt, t)) {
    const waitingOn: WaitingOn = {
      kind: 'shared_layer',
      since: clock(pull.manifestAt ?? t),
      pull: idAt(layer.from.pull, t, clock),
      layer: spec.digest,
    };
    return { ...fields, state: 'waiting', waitingOn };
  }
  if (reached(layer.extractingAt, t)) {
    const unpackedBytes = Math.floor(extracted(layer, t) * spec.size * UNPACK_RATIO);
    return { ...fields, state: 'extracting', unpackedBytes };
  }
  if (reached(layer.downloadedAt, t)) {
    return {
      ...fields,
      state: 'downloaded',
      waitingOn: { kind: 'parent_layer', since: clock(layer.downloadedAt) },
    };
  }
  if (reached(layer.startedAt, t))
    return { ...fields, state: 'downloading', bytesPerSec: Math.round(speed(layer, t)) };
  return {
    ...fields,
    state: 'waiting',
    waitingOn: { kind: 'download_slot', since: clock(pull.manifestAt ?? t) },
  };
}

/** Totals over the layers of a pull. */
function layerTotals(pull: PullRecord, t: number) {
  const needed = pull.layers.filter(({ origin }) => origin === 'own' || origin === 'shared');
  const total = pull.layers.reduce((sum, { spec }) => sum + spec.size, 0);
  const to = toDownload(pull);
  const here = needed.reduce((sum, { curve }) => sum + Math.floor(curve.at(t)), 0);
  const unpacked = needed.reduce((sum, layer) => sum + extracted(layer, t) * layer.spec.size, 0);
  return { needed, total, to, here, unpacked: Math.floor(unpacked) };
}

/** ETA as an agent would report it: the simulated end, rounded. */
function eta(pull: PullRecord, t: number, rate: number, left: { bytes: number; unpack: number }) {
  const isStalled =
    pull.stalledAt !== undefined &&
    t >= pull.stalledAt &&
    t < (pull.stalledUntil ?? Number.POSITIVE_INFINITY);
  if (isStalled) return {};
  const end = pull.outcome === 'completed' ? pull.endedAt : undefined;
  const guess =
    left.bytes > 0 && rate <= 0 ? undefined : (left.bytes > 0 ? left.bytes / rate : 0) + left.unpack;
  const seconds = end !== undefined && !pull.behaviour.stall ? end - t : guess;
  if (seconds === undefined) return {};
  return {
    etaSeconds: round(seconds),
    etaLowSeconds: round(seconds * 0.85),
    etaHighSeconds: round(seconds * 1.3),
    etaBasis: random('basis', pull.node) < 0.8 ? ('learned' as const) : ('assumed' as const),
  };
}

/** Number of a row: an announced pull and the pull observed later are two rows. */
const rowNumber = (pull: PullRecord, first: number, announced: boolean): number =>
  first + pull.ordinal * 2 + (announced ? 1 : 0);

export interface RowContext {
  record: NodeRecord;
  clock: Clock;
  /** Offset of this node's row numbers. */
  firstNumber: number;
  /** True if the pods of the cluster are known. */
  podsKnown: boolean;
}

/** The row at `t`; undefined before it exists and after a later attempt replaced it. */
export function rowAt(pull: PullRecord, time: number, context: RowContext): PullStatus | undefined {
  const { record, clock, podsKnown } = context;
  // With a silent agent the state stays as of its last report.
  const silent = reached(record.plan.silentAt, time) ? record.plan.silentAt : undefined;
  const t = silent ?? time;
  if (pull.requestedAt > t) return undefined;
  const isQueued = notReached(pull.startedAt, t);
  if (isQueued && !podsKnown) return undefined;
  const eventOnly = isQueued || isEventOnly(pull);
  const supersedes = supersededId(pull, eventOnly, clock);
  const base = {
    id: idAt(pull, t, clock),
    row: rowNumber(pull, context.firstNumber, eventOnly),
    nodeName: pull.node,
    imageRef: pull.image.ref,
    repository: pull.image.ref.replace(/[@:][^/]*$/, ''),
    ...(podsKnown ? { pods: podLinks(pull, t), attempt: pull.attempt } : {}),
    ...(supersedes ? { supersedes } : {}),
    ...(podsKnown && wasQueued(pull) ? { queuedAt: clock(pull.requestedAt) } : {}),
    startedAt: clock(isQueued ? pull.requestedAt : (pull.startedAt ?? t)),
    ...(silent !== undefined && notReached(pull.endedAt, t) ? { staleSince: clock(silent) } : {}),
  };
  if (isQueued) {
    return { ...base, phase: 'queued', totalKnown: false, waitingOn: queueWait(record, pull, t, clock) };
  }
  const ended = reached(pull.endedAt, t) ? endFields(pull, clock) : undefined;
  if (notReached(pull.manifestAt, t)) {
    if (ended) return { ...base, totalKnown: false, ...ended };
    const since = (pull.startedAt ?? t) + WAITING_AFTER;
    const waitingOn = since <= t ? { waitingOn: { kind: 'registry' as const, since: clock(since) } } : {};
    return { ...base, phase: 'resolving', totalKnown: false, ...waitingOn };
  }
  return { ...base, ...observedFields(pull, t, context), ...ended };
}

function supersededId(pull: PullRecord, eventOnly: boolean, clock: Clock): string | undefined {
  if (!eventOnly && wasQueued(pull)) return announcedId(pull, clock);
  return pull.previous ? finalId(pull.previous, clock) : undefined;
}

function endFields(pull: PullRecord, clock: Clock): Partial<PullStatus> & Pick<PullStatus, 'phase'> {
  const { outcome = 'unknown', endedAt = 0, startedAt = 0, failure, retryAt, requestedAt } = pull;
  const seconds = round(endedAt - startedAt);
  return {
    phase: outcome,
    outcome,
    completedAt: clock(endedAt),
    ...(outcome === 'completed'
      ? {
          percent: 100,
          kubelet: {
            pullSeconds: seconds,
            withWaitingSeconds: round(endedAt - requestedAt),
            agrees: true,
          },
        }
      : {}),
    ...(failure
      ? { failure: { ...failure, ...(retryAt === undefined ? {} : { nextRetryAt: clock(retryAt) }) } }
      : {}),
  };
}

const withoutMotion = ({ bytesPerSec: _, waitingOn: __, ...layer }: LayerStatus): LayerStatus => layer;

/** Fields observed once the manifest is known. */
function observedFields(
  pull: PullRecord,
  t: number,
  { record, clock }: RowContext,
): Omit<PullStatus, 'id' | 'nodeName' | 'startedAt'> {
  const live = notReached(pull.endedAt, t);
  const downloadingAt = clock(pull.manifestAt ?? t);
  const { needed, total, to, here, unpacked } = layerTotals(pull, t);
  const rate = needed.reduce((sum, layer) => {
    const isDownloading =
      layer.origin === 'own' && reached(layer.startedAt, t) && notReached(layer.downloadedAt, t);
    return sum + (isDownloading ? speed(layer, t) : 0);
  }, 0);
  const bytesPerSec = live && here < to ? { bytesPerSec: Math.round(rate) } : {};
  if (pull.behaviour.hidesManifest) {
    return { phase: 'downloading', totalKnown: false, downloadedBytes: here, downloadingAt, ...bytesPerSec };
  }
  const all = pull.layers.map((layer) => layerAt(pull, layer, t, clock));
  // An ended pull has neither speed nor wait.
  const layers = live ? all : all.map(withoutMotion);
  const downloadedAt = needed.reduce(
    (at, layer) => Math.max(at, layer.downloadedAt ?? Number.POSITIVE_INFINITY),
    pull.manifestAt ?? t,
  );
  const fields = {
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
    ...(downloadedAt <= t ? { extractingAt: clock(downloadedAt) } : {}),
    layerCount: layers.length,
    layersDone: pull.layers.filter((layer) => reached(layer.doneAt, t)).length,
    layers,
  };
  if (!live) return fields;
  const stalled =
    pull.stalledAt !== undefined && t < (pull.stalledUntil ?? Number.POSITIVE_INFINITY)
      ? pull.stalledAt
      : undefined;
  const shared = layers.find(({ waitingOn }) => waitingOn?.kind === 'shared_layer')?.waitingOn;
  const isIdle = !layers.some(({ state }) => state === 'downloading' || state === 'extracting');
  const slow = record.plan.slow && t - (pull.manifestAt ?? t) > SLOW_AFTER;
  const unfinished = pull.layers.find((layer) => layer.origin === 'own' && notReached(layer.doneAt, t));
  const left = { bytes: to - here, unpack: unfinished ? 0.5 : 0 };
  return {
    ...fields,
    ...bytesPerSec,
    ...eta(pull, t, rate, left),
    ...(stalled !== undefined && t - stalled >= STALLED_AFTER ? { stalledSince: clock(stalled) } : {}),
    ...(isIdle && shared ? { waitingOn: shared } : {}),
    ...(slow ? { slow: true } : {}),
  };
}
