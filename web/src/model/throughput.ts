// Cluster throughput as chart lines: the server's history, followed by samples of this page.

import type { ServerStatus } from '../api/gen/wire';
import { parseInstant, type Units } from './format';

export interface ThroughputPoint {
  /** Milliseconds of the server's clock. */
  at: number;
  speed: number;
}

/** Period that is shown. */
export const WINDOW_MS = 15 * 60_000;
/** A longer distance between samples is a gap. */
const GAP_MS = 8_000;

export interface ThroughputHistory {
  from: number;
  to: number;
  /** Lines without gaps, oldest first; a line may be a single point. */
  runs: readonly (readonly ThroughputPoint[])[];
  /** The highest point; undefined if there is none. */
  peak: ThroughputPoint | undefined;
  /** The last point, if it is current. */
  latest: ThroughputPoint | undefined;
  /** Start of the server if within the period: earlier values are unknown. */
  serverStartedAt: number | undefined;
}

/** `samples`: from this page, by the server's clock. Returns undefined without any value. */
export function throughputHistory(
  server: Pick<ServerStatus, 'throughput' | 'startedAt'> | undefined,
  samples: readonly { at: number; speed: number | undefined }[],
): ThroughputHistory | undefined {
  const reported = server?.throughput;
  const reportEnd = parseInstant(reported?.endsAt);
  const values: { at: number; speed: number | undefined }[] = [];
  const step = (reported?.stepSeconds ?? 0) * 1000;
  if (reported && reportEnd !== undefined && step > 0) {
    const first = reportEnd - (reported.bytesPerSec.length - 1) * step;
    for (const [index, speed] of reported.bytesPerSec.entries()) {
      values.push({ at: first + index * step, speed: speed ?? undefined });
    }
  }
  // The clocks differ slightly: a sample just after the last value would duplicate it.
  const after = reportEnd === undefined ? Number.NEGATIVE_INFINITY : reportEnd + step / 2;
  for (const sample of samples) if (sample.at > after) values.push(sample);
  const to = values.at(-1)?.at;
  if (to === undefined) return undefined;
  const from = to - WINDOW_MS;
  const serverStartedAt = parseInstant(server?.startedAt);
  const all = splitAtGaps(values, from, Math.max(GAP_MS, step * 2.5));
  const points = all.flat();
  const last = points.at(-1);
  return {
    from,
    to,
    runs: all,
    peak: points.reduce<ThroughputPoint | undefined>(
      (peak, point) => (peak && peak.speed >= point.speed ? peak : point),
      undefined,
    ),
    latest: last?.at === to ? last : undefined,
    serverStartedAt:
      serverStartedAt !== undefined && serverStartedAt > from && serverStartedAt <= to
        ? serverStartedAt
        : undefined,
  };
}

function splitAtGaps(
  points: readonly { at: number; speed: number | undefined }[],
  from: number,
  gap: number,
): ThroughputPoint[][] {
  const found: ThroughputPoint[][] = [];
  let run: ThroughputPoint[] = [];
  for (const { at, speed } of points) {
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

/** The point nearest to `at`; undefined in a gap. */
export function pointAt({ runs }: Pick<ThroughputHistory, 'runs'>, at: number): ThroughputPoint | undefined {
  let best: ThroughputPoint | undefined;
  for (const run of runs) {
    for (const point of run) {
      if (best === undefined || Math.abs(point.at - at) < Math.abs(best.at - at)) best = point;
    }
  }
  return best && Math.abs(best.at - at) <= GAP_MS ? best : undefined;
}

/** Round multiples of a unit. */
const ROUND_NUMBERS = [1, 2, 4, 6, 8, 10, 20, 40, 60, 80, 100, 200, 400, 600, 800];

/** The top of an axis that contains `peak`, in bytes per second, round in the given units. */
export function axisTop(peak: number, units: Units): number {
  const [least, step] = units === 'iec' ? [1024, 1024] : units === 'si' ? [1000, 1000] : [1000 / 8, 1000];
  if (peak <= 0) return least * step;
  let unit = least;
  while (peak > unit * step * 0.8) unit *= step;
  const round = ROUND_NUMBERS.find((number) => number * unit >= peak) ?? step;
  return round * unit;
}

const TICK_MS = 3 * 60_000;

/** Full minutes, far enough apart to be readable. */
export function timeTicks(from: number, to: number): number[] {
  const ticks: number[] = [];
  for (let at = Math.ceil(from / TICK_MS) * TICK_MS; at <= to; at += TICK_MS) ticks.push(at);
  return ticks;
}
