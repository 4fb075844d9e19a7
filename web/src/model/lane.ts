// Download speed of a pull over time: samples taken while the page is open, and for the time
// before, the mean speeds of the pull's layers.

import type { LayerStatus, PullStatus } from '../api/gen/wire';
import { parseInstant } from './format';
import { lastObserved } from './waterfall';

/** Bytes per second, undefined if unknown, at an instant in milliseconds of the server's clock. */
export interface SpeedSample {
  at: number;
  speed: number | undefined;
}

/** Maximum number of samples; when reached, every second one is dropped. */
export const MAX_SAMPLES = 480;
const SAMPLE_INTERVAL_MS = 500;
/** Samples taken further apart than this are not joined by a line. */
const GAP_MS = 5_000;

/**
 * Appends a sample, after one of unknown speed if there was a gap. Returns the same array if the
 * last sample is too recent.
 */
export function addSample(samples: readonly SpeedSample[], sample: SpeedSample): readonly SpeedSample[] {
  const last = samples.at(-1);
  if (last !== undefined && sample.at - last.at < SAMPLE_INTERVAL_MS) return samples;
  // A gap adds two.
  const kept = samples.length < MAX_SAMPLES - 1 ? samples : thinned(samples);
  const hasGap = last !== undefined && sample.at - last.at > GAP_MS;
  return hasGap ? [...kept, { at: last.at, speed: undefined }, sample] : [...kept, sample];
}

/** Drops every second known speed. Gaps stay; adjacent ones become one. */
function thinned(samples: readonly SpeedSample[]): SpeedSample[] {
  const found: SpeedSample[] = [];
  let known = 0;
  for (const sample of samples) {
    const previous = found.at(-1);
    const isDropped =
      sample.speed === undefined ? previous && previous.speed === undefined : known++ % 2 === 1;
    if (!isDropped) found.push(sample);
  }
  return found;
}

/** Sum of the layers' mean speeds as a step function: each sample is valid until the next. */
export function meanSpeeds(pull: PullStatus, layers: readonly LayerStatus[], now: number): SpeedSample[] {
  const end = lastObserved(pull, now);
  const changes: [at: number, by: number][] = [];
  for (const layer of layers) {
    const from = parseInstant(layer.startedAt);
    const to = parseInstant(layer.downloadedAt) ?? (layer.state === 'downloading' ? end : undefined);
    const bytes = layer.downloadedBytes ?? layer.totalBytes;
    if (from === undefined || to === undefined || to <= from || layer.waitingOn?.kind === 'shared_layer')
      continue;
    const speed = (bytes / (to - from)) * 1000;
    changes.push([from, speed], [to, -speed]);
  }
  changes.sort((a, b) => a[0] - b[0]);
  const found: SpeedSample[] = [];
  let speed = 0;
  for (const [at, by] of changes) {
    speed += by;
    if (found.at(-1)?.at === at) found.pop();
    found.push({ at, speed: Math.max(0, speed) });
  }
  const last = found.at(-1);
  // The sum must end at 0; remove its rounding error.
  if (last !== undefined && last.speed !== undefined && last.speed < 1) last.speed = 0;
  return found;
}

export interface SpeedLane {
  /** A step function: each sample is valid until the next. */
  means: readonly SpeedSample[];
  /** Samples taken by this page, split at gaps; single samples are dropped. */
  observed: readonly (readonly SpeedSample[])[];
  peak: number;
}

export function speedLane(means: readonly SpeedSample[], samples: readonly SpeedSample[]): SpeedLane {
  const observed: SpeedSample[][] = [];
  let piece: SpeedSample[] = [];
  for (const sample of samples) {
    if (sample.speed === undefined) {
      if (piece.length > 1) observed.push(piece);
      piece = [];
    }
    if (sample.speed !== undefined) piece.push(sample);
  }
  if (piece.length > 1) observed.push(piece);
  const observedFrom = observed[0]?.[0]?.at ?? Number.POSITIVE_INFINITY;
  const before = means.filter(({ at }) => at < observedFrom);
  const last = before.at(-1);
  const cut =
    last !== undefined && observed.length > 0 ? [...before, { at: observedFrom, speed: 0 }] : before;
  const speeds = [...cut, ...observed.flat()].map(({ speed }) => speed ?? 0);
  return { means: cut, observed, peak: Math.max(0, ...speeds) };
}
