// The layers of a pull on a common time axis: waiting, downloading, waiting for the parent layer,
// extracting. Unobserved times are not drawn.

import type { LayerStatus, PullStatus } from '../api/gen/wire';
import { parseInstant, seconds } from './format';
import { isFresh, isLive } from './pull';

/**
 * `waiting`: the download has not started. `shared`: another pull downloads the layer. `parent`:
 * downloaded, and the layer below is not extracted yet. `projected`: remaining download time at the
 * current speed.
 */
export type WaterfallSegmentKind =
  | 'waiting'
  | 'shared'
  | 'downloading'
  | 'parent'
  | 'extracting'
  | 'projected';

/** Position on the axis, 0 to 1. */
export interface WaterfallSegment {
  kind: WaterfallSegmentKind;
  from: number;
  to: number;
}

export interface LayerLine {
  index: number;
  layer: LayerStatus;
  /** Ordered by time, without overlaps. */
  segments: readonly WaterfallSegment[];
  /** End of the last segment that is not projected. */
  end: number;
  /** True if the pull's ETA depends on this layer. */
  isCritical: boolean;
}

export interface WaterfallAxis {
  /** Milliseconds since the epoch. */
  start: number;
  end: number;
  ticks: readonly { at: number; label: string }[];
  /** Position of the current time, 0 to 1; undefined for ended pulls. */
  now: number | undefined;
  /** Position of the estimated end; undefined if unknown or beyond the axis. */
  ready: number | undefined;
}

export interface Waterfall {
  axis: WaterfallAxis;
  lines: readonly LayerLine[];
}

/** Candidate distances between ticks, in seconds. */
const TICK_STEPS = [
  0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 14_400, 21_600,
  43_200,
];
const MAX_TICKS = 6;
/** Minimum share of the axis for the past, however long the rest takes. */
const MIN_PAST_SHARE = 0.25;
const DAY = 86_400;

const tickLabel = (value: number): string =>
  value === 0 ? '0 s' : value < 1 ? `${value.toFixed(value < 0.1 ? 2 : 1)} s` : seconds(value);

function tickStep(span: number): number {
  return TICK_STEPS.find((each) => span / each <= MAX_TICKS) ?? Math.ceil(span / MAX_TICKS / DAY) * DAY;
}

/** Time until which the state of the pull is known. */
export function lastObserved(pull: PullStatus, now: number): number {
  return parseInstant(pull.completedAt) ?? parseInstant(pull.staleSince) ?? now;
}

export function waterfallAxis(pull: PullStatus, now: number): WaterfallAxis {
  const start = parseInstant(pull.startedAt) ?? now;
  const live = isLive(pull);
  // With a clock that is behind, the pull must not end before it started.
  const until = Math.max(start, live ? now : lastObserved(pull, now));
  const left = live && isFresh(pull) && pull.etaSeconds !== undefined ? pull.etaSeconds * 1000 : undefined;
  const maxSpan = Math.max(until - start, 1_000) / MIN_PAST_SHARE;
  const ready = left === undefined ? undefined : until + left;
  const span = Math.max(Math.min(Math.max(ready ?? until, until) - start, maxSpan), 1) / 1000;
  const tick = tickStep(span);
  // The end of the axis moves in steps so that bars stay still while the ETA changes.
  const length = live ? Math.ceil((span * 1.02) / (tick / 2)) * (tick / 2) : span;
  const share = (at: number): number => (at - start) / 1000 / length;
  const ticks = Array.from({ length: Math.floor(length / tick + 1e-9) + 1 }, (_, index) => index * tick);
  return {
    start,
    end: start + length * 1000,
    ticks: ticks.map((value) => ({ at: value / length, label: tickLabel(value) })),
    now: live ? share(until) : undefined,
    ready: ready !== undefined && share(ready) <= 1 ? share(ready) : undefined,
  };
}

export function waterfall(pull: PullStatus, layers: readonly LayerStatus[], now: number): Waterfall {
  const timeAxis = waterfallAxis(pull, now);
  const last = pull.etaSeconds === undefined ? undefined : criticalLayer(pull, layers, now);
  return {
    axis: timeAxis,
    lines: layers.map((layer, index) => {
      const segments = segmentsOf(pull, layer, timeAxis, now);
      const seen = segments.filter(({ kind }) => kind !== 'projected');
      return { index, layer, segments, end: seen.at(-1)?.to ?? 0, isCritical: index === last };
    }),
  };
}

function segmentsOf(
  pull: PullStatus,
  layer: LayerStatus,
  axis: WaterfallAxis,
  now: number,
): WaterfallSegment[] {
  if (layer.state === 'cached' || layer.state === 'remote') return [];
  const live = isLive(pull);
  const observedUntil = lastObserved(pull, now);
  const startedAt = parseInstant(layer.startedAt);
  const downloadedAt = parseInstant(layer.downloadedAt);
  const extractingAt = parseInstant(layer.extractingAt);
  const completedAt = parseInstant(layer.completedAt);
  const manifest = parseInstant(pull.downloadingAt);
  const since = parseInstant(layer.waitingOn?.since);
  const found: WaterfallSegment[] = [];
  const share = (at: number): number => Math.min(1, Math.max(0, (at - axis.start) / (axis.end - axis.start)));
  /**
   * Adds a segment if both ends are known and ordered, clipped to start after the previous segment.
   */
  const addSegment = (kind: WaterfallSegmentKind, from: number | undefined, to: number | undefined): void => {
    if (from === undefined || to === undefined || to < from) return;
    const begin = Math.max(share(from), found.at(-1)?.to ?? 0);
    if (share(to) >= begin) found.push({ kind, from: begin, to: share(to) });
  };
  /** The end of a stage: its observed end, or now if the layer is in it. */
  const until = (end: number | undefined, state: LayerStatus['state']): number | undefined =>
    end ?? (layer.state === state ? observedUntil : undefined);

  const shared = layer.waitingOn?.kind === 'shared_layer';
  if (shared) {
    addSegment('waiting', manifest, since);
    addSegment('shared', since ?? manifest, until(startedAt ?? downloadedAt, 'waiting'));
  } else if (!layer.blobCached) {
    addSegment(
      'waiting',
      manifest ?? (layer.state === 'waiting' ? since : undefined),
      until(startedAt, 'waiting'),
    );
  }
  addSegment('downloading', startedAt, until(downloadedAt, 'downloading'));
  addSegment('parent', downloadedAt, until(extractingAt, 'downloaded'));
  addSegment('extracting', extractingAt, until(completedAt, 'extracting'));

  const left = remainingBytes(layer);
  if (live && isFresh(pull) && layer.state === 'downloading' && left !== undefined && layer.bytesPerSec) {
    const ready = axis.ready === undefined ? axis.end : axis.start + axis.ready * (axis.end - axis.start);
    addSegment(
      'projected',
      observedUntil,
      Math.max(observedUntil, Math.min(ready, observedUntil + (left / layer.bytesPerSec) * 1000)),
    );
  }
  return found;
}

/** Remaining bytes to download; undefined if unknown. */
export function remainingBytes(layer: LayerStatus): number | undefined {
  if (layer.state !== 'downloading' && layer.state !== 'waiting') return 0;
  if (layer.blobCached) return 0;
  return Math.max(0, layer.totalBytes - (layer.downloadedBytes ?? 0));
}

const DONE = new Set(['complete', 'cached', 'remote']);

/** Compressed bytes extracted per second, as far as the layers have times. */
function unpackRate(layers: readonly LayerStatus[]): number | undefined {
  let bytes = 0;
  let ms = 0;
  for (const layer of layers) {
    const [from, to] = [parseInstant(layer.extractingAt), parseInstant(layer.completedAt)];
    if (from === undefined || to === undefined || to <= from) continue;
    bytes += layer.totalBytes;
    ms += to - from;
  }
  return ms > 0 ? (bytes / ms) * 1000 : undefined;
}

/**
 * The layer that the end of the pull depends on. Layers are extracted in order, each after its
 * download: the critical layer is the last one that extraction has to wait for. Undefined if none
 * is left or the pull is stale.
 */
export function criticalLayer(
  pull: PullStatus,
  layers: readonly LayerStatus[],
  now: number,
): number | undefined {
  if (!isLive(pull) || !isFresh(pull) || layers.length < 2) return undefined;
  const speeds = layers.flatMap(({ state, bytesPerSec }) =>
    state === 'downloading' && bytesPerSec ? [bytesPerSec] : [],
  );
  // Assumed for layers without a speed.
  const meanSpeed = speeds.length > 0 ? speeds.reduce((sum, each) => sum + each) / speeds.length : 1;
  const rate = unpackRate(layers);
  let found: number | undefined;
  let unpackFree = 0;
  for (const [index, layer] of layers.entries()) {
    if (DONE.has(layer.state)) continue;
    const left = remainingBytes(layer) ?? 0;
    const arrival = left === 0 ? 0 : left / (layer.bytesPerSec || meanSpeed);
    if (found === undefined || arrival > unpackFree) {
      found = index;
      unpackFree = arrival;
    }
    if (rate === undefined) continue;
    const since = parseInstant(layer.extractingAt);
    const spent = since === undefined ? 0 : Math.max(0, now - since) / 1000;
    unpackFree += Math.max(0, layer.totalBytes / rate - spent);
  }
  return found;
}
