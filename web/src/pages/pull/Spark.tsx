// The last minutes of a speed, beside its number.

import { memo } from 'react';
import { lane, type Sample } from '../../model/lane';
import styles from './Spark.module.css';

const SHOWN_MS = 120_000;
const WIDTH = 100;
const HEIGHT = 24;

export const Spark = memo(({ samples }: { samples: readonly Sample[] }) => {
  const last = samples.at(-1)?.at ?? 0;
  const { seen, peak } = lane(
    [],
    samples.filter(({ at }) => at > last - SHOWN_MS),
  );
  const first = seen[0]?.[0]?.at;
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
      {seen.map((piece) => {
        const line = piece.map(({ at, speed }) => `${x(at)} ${y(speed)}`).join('L');
        const [from, to] = [piece[0]?.at ?? 0, piece.at(-1)?.at ?? 0];
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
