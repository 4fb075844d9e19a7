// The speed of the last two minutes, as far as this page has seen it. For the eye only: the figure stands beside it.

import { useSpeeds } from '../live/hooks';
import { SAMPLES, type Sample } from '../live/store';
import styles from './SpeedLine.module.css';

const WIDTH = 120;
const HEIGHT = 34;
/** A longer pause between two samples is a gap: nobody knows what was in it. */
const GAP_MS = 8_000;

/** One run of samples without a gap each, as points. */
export function runs(samples: readonly Sample[]): [number, number][][] {
  const last = samples.at(-1);
  if (!last) return [];
  const top = Math.max(1, ...samples.map(({ speed }) => speed ?? 0));
  const found: [number, number][][] = [];
  let run: [number, number][] = [];
  let before = Number.NEGATIVE_INFINITY;
  for (const { at, speed } of samples) {
    if (speed === undefined || at - before > GAP_MS) {
      run = [];
      found.push(run);
    }
    before = at;
    if (speed === undefined) continue;
    const x = WIDTH - ((last.at - at) / 1000) * (WIDTH / SAMPLES);
    if (x >= 0) run.push([x, HEIGHT - 2 - (speed / top) * (HEIGHT - 4)]);
  }
  return found.filter((points) => points.length > 1);
}

/** Fewer than so many samples are no line. */
const LEAST = 6;

export function SpeedLine() {
  const samples = useSpeeds();
  if (samples.length < LEAST) return null;
  const lines = runs(samples).map((points) => points.map(([x, y]) => `${x.toFixed(1)} ${y.toFixed(1)}`));
  return (
    <svg
      className={styles.line}
      viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
      preserveAspectRatio="none"
      aria-hidden="true"
    >
      {lines.map((points) => {
        const [first = '', last = ''] = [points[0], points.at(-1)];
        const area = `M${first.split(' ')[0]} ${HEIGHT}L${points.join('L')}L${last.split(' ')[0]} ${HEIGHT}Z`;
        return (
          <g key={first}>
            <path className={styles.area} d={area} />
            <path className={styles.edge} d={`M${points.join('L')}`} />
          </g>
        );
      })}
    </svg>
  );
}
