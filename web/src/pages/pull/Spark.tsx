// A sparkline of recent speed.

import { memo } from 'react';
import { type SpeedSample, speedLane } from '../../model/lane';
import styles from './Spark.module.css';

const WINDOW_MS = 120_000;
const WIDTH = 100;
const HEIGHT = 24;

export const Spark = memo(({ samples }: { samples: readonly SpeedSample[] }) => {
  const last = samples.at(-1)?.at ?? 0;
  const { observed, peak } = speedLane(
    [],
    samples.filter(({ at }) => at > last - WINDOW_MS),
  );
  const first = observed[0]?.[0]?.at;
  if (first === undefined || last <= first || peak <= 0) return null;
  const x = (at: number): string => (((at - first) / (last - first)) * WIDTH).toFixed(1);
  const y = (speed = 0): string => (HEIGHT - 1 - (speed / peak) * (HEIGHT - 3)).toFixed(1);
  return (
    <svg
      className={styles.spark}
      viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
      preserveAspectRatio="none"
      aria-hidden="true"
    >
      {observed.map((run) => {
        const line = run.map(({ at, speed }) => `${x(at)} ${y(speed)}`).join('L');
        const [from, to] = [run[0]?.at ?? 0, run.at(-1)?.at ?? 0];
        return (
          <g key={from}>
            <path className={styles.area} d={`M${x(from)} ${HEIGHT}L${line}L${x(to)} ${HEIGHT}Z`} />
            <path className={styles.line} d={`M${line}`} />
          </g>
        );
      })}
    </svg>
  );
});
