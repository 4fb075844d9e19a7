// How fast a pull's bytes came, over time: as this page saw it, and before that as its layers tell it, each of which came
// at its mean.

import type { LayerStatus, PullStatus } from '../api/gen/wire';
import { instant } from './format';
import { lastSeen } from './waterfall';

/** The speed from an instant on, in milliseconds of the server's clock. */
export interface Sample {
  at: number;
  speed: number | undefined;
}

/** So many are kept; then every other one goes. */
export const MOST = 480;
const EVERY_MS = 500;
/** What lies further apart is not joined. */
const GAP_MS = 5_000;

/** With one sample more; the same ones where that is too early. */
export function sampled(samples: readonly Sample[], sample: Sample): readonly Sample[] {
  const last = samples.at(-1);
  if (last !== undefined && sample.at - last.at < EVERY_MS) return samples;
  const kept = samples.length < MOST ? samples : samples.filter((_, index) => index % 2 === 0);
  return [...kept, sample];
}

/** Means over the layers, in steps: each sample holds until the next. */
export function means(pull: PullStatus, layers: readonly LayerStatus[], now: number): Sample[] {
  const stop = lastSeen(pull, now);
  const changes: [at: number, by: number][] = [];
  for (const layer of layers) {
    const from = instant(layer.startedAt);
    const to = instant(layer.downloadedAt) ?? (layer.state === 'downloading' ? stop : undefined);
    const bytes = layer.downloadedBytes ?? layer.totalBytes;
    if (from === undefined || to === undefined || to <= from || layer.waitingOn?.kind === 'shared_layer')
      continue;
    const speed = (bytes / (to - from)) * 1000;
    changes.push([from, speed], [to, -speed]);
  }
  changes.sort((a, b) => a[0] - b[0]);
  const found: Sample[] = [];
  let speed = 0;
  for (const [at, by] of changes) {
    speed += by;
    if (found.at(-1)?.at === at) found.pop();
    found.push({ at, speed: Math.max(0, speed) });
  }
  const last = found.at(-1);
  // What is left of sums of fractions is nothing.
  if (last !== undefined && last.speed !== undefined && last.speed < 1) last.speed = 0;
  return found;
}

export interface Lane {
  /** Each holds until the next. */
  means: readonly Sample[];
  /** What this page saw, in pieces without gaps. */
  seen: readonly (readonly Sample[])[];
  peak: number;
}

export function lane(means: readonly Sample[], samples: readonly Sample[]): Lane {
  const seen: Sample[][] = [];
  let piece: Sample[] = [];
  for (const sample of samples) {
    const before = piece.at(-1);
    if (sample.speed === undefined || (before && sample.at - before.at > GAP_MS)) {
      if (piece.length > 1) seen.push(piece);
      piece = [];
    }
    if (sample.speed !== undefined) piece.push(sample);
  }
  if (piece.length > 1) seen.push(piece);
  const begun = seen[0]?.[0]?.at ?? Number.POSITIVE_INFINITY;
  const before = means.filter(({ at }) => at < begun);
  const last = before.at(-1);
  const cut = last !== undefined && seen.length > 0 ? [...before, { at: begun, speed: 0 }] : before;
  const speeds = [...cut, ...seen.flat()].map(({ speed }) => speed ?? 0);
  return { means: cut, seen, peak: Math.max(0, ...speeds) };
}
