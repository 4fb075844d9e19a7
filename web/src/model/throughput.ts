// How fast bytes came to all nodes, as points of a line: what the server remembers, and after it what this page saw.

import type { ServerStatus } from '../api/gen/wire';
import { instant, type Units } from './format';

export interface Point {
  /** Milliseconds of the server's clock. */
  at: number;
  speed: number;
}

/** What is shown of the past. */
export const WINDOW_MS = 15 * 60_000;
/** A longer pause between two samples is a gap: nobody knows what was in it. */
const GAP_MS = 8_000;

export interface History {
  from: number;
  to: number;
  /** Lines without a gap each, oldest first; one may be a single point. */
  runs: readonly (readonly Point[])[];
  /** The highest point; undefined where there is none. */
  peak: Point | undefined;
  /** The last point, where it is of now. */
  last: Point | undefined;
  /** When the server began, where that is within what is shown: before that nothing is known. */
  began: number | undefined;
}

/** `samples`: of this page, by the server's clock. Undefined where nothing is known of any time. */
export function history(
  server: Pick<ServerStatus, 'throughput' | 'startedAt'> | undefined,
  samples: readonly { at: number; speed: number | undefined }[],
): History | undefined {
  const told = server?.throughput;
  const ends = instant(told?.endsAt);
  const known: { at: number; speed: number | undefined }[] = [];
  const step = (told?.stepSeconds ?? 0) * 1000;
  if (told && ends !== undefined && step > 0) {
    const first = ends - (told.bytesPerSec.length - 1) * step;
    for (const [index, speed] of told.bytesPerSec.entries()) {
      known.push({ at: first + index * step, speed: speed ?? undefined });
    }
  }
  // Both clocks are only nearly the same: a sample just after the last value would be the same moment twice.
  const after = ends === undefined ? Number.NEGATIVE_INFINITY : ends + step / 2;
  for (const sample of samples) if (sample.at > after) known.push(sample);
  const to = known.at(-1)?.at;
  if (to === undefined) return undefined;
  const from = to - WINDOW_MS;
  const began = instant(server?.startedAt);
  const all = runs(known, from, Math.max(GAP_MS, step * 2.5));
  const points = all.flat();
  const last = points.at(-1);
  return {
    from,
    to,
    runs: all,
    peak: points.reduce<Point | undefined>(
      (peak, point) => (peak && peak.speed >= point.speed ? peak : point),
      undefined,
    ),
    last: last?.at === to ? last : undefined,
    began: began !== undefined && began > from && began <= to ? began : undefined,
  };
}

function runs(
  known: readonly { at: number; speed: number | undefined }[],
  from: number,
  gap: number,
): Point[][] {
  const found: Point[][] = [];
  let run: Point[] = [];
  for (const { at, speed } of known) {
    if (at < from) continue;
    const before = run.at(-1);
    if (speed === undefined || (before && at - before.at > gap)) {
      if (run.length > 0) found.push(run);
      run = [];
    }
    if (speed !== undefined) run.push({ at, speed });
  }
  if (run.length > 0) found.push(run);
  return found;
}

/** The point at a moment; undefined in a gap. */
export function pointAt({ runs }: Pick<History, 'runs'>, at: number): Point | undefined {
  let best: Point | undefined;
  for (const run of runs) {
    for (const point of run) {
      if (best === undefined || Math.abs(point.at - at) < Math.abs(best.at - at)) best = point;
    }
  }
  return best && Math.abs(best.at - at) <= GAP_MS ? best : undefined;
}

/** Round numbers of a unit. */
const ROUND = [1, 2, 4, 6, 8, 10, 20, 40, 60, 80, 100, 200, 400, 600, 800];

/** The top of an axis that holds `peak`: bytes a second, round in the reader's units. */
export function niceTop(peak: number, units: Units): number {
  const [least, step] = units === 'iec' ? [1024, 1024] : units === 'si' ? [1000, 1000] : [1000 / 8, 1000];
  if (peak <= 0) return least * step;
  let unit = least;
  while (peak > unit * step * 0.8) unit *= step;
  const round = ROUND.find((number) => number * unit >= peak) ?? step;
  return round * unit;
}

const EVERY_MS = 3 * 60_000;

/** Moments of a time axis: full minutes, so far apart that they are not crowded. */
export function timeTicks(from: number, to: number): number[] {
  const ticks: number[] = [];
  for (let at = Math.ceil(from / EVERY_MS) * EVERY_MS; at <= to; at += EVERY_MS) ticks.push(at);
  return ticks;
}
