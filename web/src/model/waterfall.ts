// The layers of a pull on one axis of time: when each waited, came, waited for the layer below, and was unpacked.
// What nobody saw is not drawn.

import type { LayerStatus, PullStatus } from '../api/gen/wire';
import { instant, seconds } from './format';
import { isLive, isSeen } from './pull';

/**
 * `waiting`: its first byte has not come. `shared`: another pull brings it. `parent`: it is here, and the layer below is
 * not unpacked yet. `projected`: how long it takes to come, at the speed that it has.
 */
export type SegmentKind = 'waiting' | 'shared' | 'downloading' | 'parent' | 'extracting' | 'projected';

/** From where to where on the axis, 0 to 1 each. */
export interface Segment {
  kind: SegmentKind;
  from: number;
  to: number;
}

export interface Line {
  index: number;
  layer: LayerStatus;
  /** In the order of time. None of them overlap. */
  segments: readonly Segment[];
  /** Where its last segment ends that is no projection. */
  end: number;
  /** Whether it is the one that the whole pull waits for. */
  setsEta: boolean;
}

export interface Axis {
  /** Milliseconds of an instant. */
  start: number;
  end: number;
  ticks: readonly { at: number; label: string }[];
  /** Of a pull that goes on, 0 to 1. */
  now: number | undefined;
  /** When the pull ends by the best guess; undefined where there is none, or it is beyond the axis. */
  ready: number | undefined;
}

export interface Waterfall {
  axis: Axis;
  lines: readonly Line[];
}

/** Seconds from one tick to the next. */
const STEPS = [
  0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 14_400, 21_600,
  43_200,
];
const TICKS = 6;
/** What has been takes at least this share of the axis, however long the rest takes. */
const PAST = 0.25;
const DAY = 86_400;

const tickLabel = (value: number): string =>
  value === 0 ? '0 s' : value < 1 ? `${value.toFixed(value < 0.1 ? 2 : 1)} s` : seconds(value);

function step(span: number): number {
  return STEPS.find((each) => span / each <= TICKS) ?? Math.ceil(span / TICKS / DAY) * DAY;
}

/** Until when of a pull is known what it did. */
export function lastSeen(pull: PullStatus, now: number): number {
  return instant(pull.completedAt) ?? instant(pull.staleSince) ?? now;
}

export function axis(pull: PullStatus, now: number): Axis {
  const start = instant(pull.startedAt) ?? now;
  const live = isLive(pull);
  // A clock that is behind does not let it end before it began.
  const until = Math.max(start, live ? now : lastSeen(pull, now));
  const left = live && isSeen(pull) && pull.etaSeconds !== undefined ? pull.etaSeconds * 1000 : undefined;
  const most = Math.max(until - start, 1_000) / PAST;
  const ready = left === undefined ? undefined : until + left;
  const span = Math.max(Math.min(Math.max(ready ?? until, until) - start, most), 1) / 1000;
  const every = step(span);
  // The end of the axis moves in steps, so that bars do not creep while the guess does.
  const whole = live ? Math.ceil((span * 1.02) / (every / 2)) * (every / 2) : span;
  const share = (at: number): number => (at - start) / 1000 / whole;
  const ticks = Array.from({ length: Math.floor(whole / every + 1e-9) + 1 }, (_, index) => index * every);
  return {
    start,
    end: start + whole * 1000,
    ticks: ticks.map((value) => ({ at: value / whole, label: tickLabel(value) })),
    now: live ? share(until) : undefined,
    ready: ready !== undefined && share(ready) <= 1 ? share(ready) : undefined,
  };
}

export function waterfall(pull: PullStatus, layers: readonly LayerStatus[], now: number): Waterfall {
  const on = axis(pull, now);
  const last = pull.etaSeconds === undefined ? undefined : critical(pull, layers, now);
  return {
    axis: on,
    lines: layers.map((layer, index) => {
      const segments = segmentsOf(pull, layer, on, now);
      const seen = segments.filter(({ kind }) => kind !== 'projected');
      return { index, layer, segments, end: seen.at(-1)?.to ?? 0, setsEta: index === last };
    }),
  };
}

function segmentsOf(pull: PullStatus, layer: LayerStatus, on: Axis, now: number): Segment[] {
  if (layer.state === 'cached' || layer.state === 'remote') return [];
  const live = isLive(pull);
  const stop = lastSeen(pull, now);
  const begun = instant(layer.startedAt);
  const here = instant(layer.downloadedAt);
  const unpacking = instant(layer.extractingAt);
  const done = instant(layer.completedAt);
  const manifest = instant(pull.downloadingAt);
  const since = instant(layer.waitingOn?.since);
  const found: Segment[] = [];
  const share = (at: number): number => Math.min(1, Math.max(0, (at - on.start) / (on.end - on.start)));
  /** Draws it where both ends are known and in order, and not over what is drawn before it. */
  const draw = (kind: SegmentKind, from: number | undefined, to: number | undefined): void => {
    if (from === undefined || to === undefined || to < from) return;
    const begin = Math.max(share(from), found.at(-1)?.to ?? 0);
    if (share(to) >= begin) found.push({ kind, from: begin, to: share(to) });
  };
  /** The end of a stage: when it was seen, or until now where the layer is in it. */
  const until = (end: number | undefined, state: LayerStatus['state']): number | undefined =>
    end ?? (layer.state === state ? stop : undefined);

  const shared = layer.waitingOn?.kind === 'shared_layer';
  if (shared) {
    draw('waiting', manifest, since);
    draw('shared', since ?? manifest, until(begun ?? here, 'waiting'));
  } else if (!layer.blobCached) {
    draw('waiting', manifest ?? (layer.state === 'waiting' ? since : undefined), until(begun, 'waiting'));
  }
  draw('downloading', begun, until(here, 'downloading'));
  draw('parent', here, until(unpacking, 'downloaded'));
  draw('extracting', unpacking, until(done, 'extracting'));

  const left = leftOf(layer);
  if (live && isSeen(pull) && layer.state === 'downloading' && left !== undefined && layer.bytesPerSec) {
    const ready = on.ready === undefined ? on.end : on.start + on.ready * (on.end - on.start);
    draw('projected', stop, Math.max(stop, Math.min(ready, stop + (left / layer.bytesPerSec) * 1000)));
  }
  return found;
}

/** What of it is still to come; undefined where that is not known. */
export function leftOf(layer: LayerStatus): number | undefined {
  if (layer.state !== 'downloading' && layer.state !== 'waiting') return 0;
  if (layer.blobCached) return 0;
  return Math.max(0, layer.totalBytes - (layer.downloadedBytes ?? 0));
}

const DONE = new Set(['complete', 'cached', 'remote']);

/** How many compressed bytes a second were unpacked, as far as the layers tell. */
function unpackRate(layers: readonly LayerStatus[]): number | undefined {
  let bytes = 0;
  let ms = 0;
  for (const layer of layers) {
    const [from, to] = [instant(layer.extractingAt), instant(layer.completedAt)];
    if (from === undefined || to === undefined || to <= from) continue;
    bytes += layer.totalBytes;
    ms += to - from;
  }
  return ms > 0 ? (bytes / ms) * 1000 : undefined;
}

/**
 * The layer that the end of the pull depends on. Layers are unpacked one after the other, each when it is here: it is
 * the last one that the unpacking has to wait for. Undefined where nothing is left, or nobody sees it.
 */
export function critical(pull: PullStatus, layers: readonly LayerStatus[], now: number): number | undefined {
  if (!isLive(pull) || !isSeen(pull) || layers.length < 2) return undefined;
  const speeds = layers.flatMap(({ state, bytesPerSec }) =>
    state === 'downloading' && bytesPerSec ? [bytesPerSec] : [],
  );
  // One that has no speed yet will have that of the others.
  const usual = speeds.length > 0 ? speeds.reduce((sum, each) => sum + each) / speeds.length : 1;
  const rate = unpackRate(layers);
  let found: number | undefined;
  let free = 0;
  for (const [index, layer] of layers.entries()) {
    if (DONE.has(layer.state)) continue;
    const left = leftOf(layer) ?? 0;
    const comes = left === 0 ? 0 : left / (layer.bytesPerSec || usual);
    if (found === undefined || comes > free) {
      found = index;
      free = comes;
    }
    if (rate === undefined) continue;
    const since = instant(layer.extractingAt);
    const spent = since === undefined ? 0 : Math.max(0, now - since) / 1000;
    free += Math.max(0, layer.totalBytes / rate - spent);
  }
  return found;
}
