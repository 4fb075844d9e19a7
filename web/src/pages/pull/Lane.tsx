// Download speed of all layers, on the axis of the waterfall.

import type { ReactNode } from 'react';
import type { SpeedSample, SpeedLane as Speeds } from '../../model/lane';
import type { WaterfallAxis } from '../../model/waterfall';
import { useFormat } from '../../settings';
import styles from './Waterfall.module.css';

const WIDTH = 1000;
const HEIGHT = 100;

interface Props {
  axis: WaterfallAxis;
  lane: Speeds;
  /** Markers behind all rows. */
  plot: ReactNode;
}

export function Lane({ axis, lane, plot }: Props) {
  const { speed } = useFormat();
  if (lane.peak <= 0) return null;
  const x = (at: number): string => {
    const share = (at - axis.start) / (axis.end - axis.start);
    return (Math.min(1, Math.max(0, share)) * WIDTH).toFixed(1);
  };
  const y = (value = 0): string => (HEIGHT - (value / lane.peak) * (HEIGHT - 8)).toFixed(1);
  const steps = (samples: readonly SpeedSample[]): string =>
    samples.map(({ at, speed: value }) => `H${x(at)}V${y(value)}`).join('');
  const first = lane.means[0];
  return (
    <div className={`${styles.row} ${styles.speed}`}>
      <span className={styles.index} />
      <span className={styles.layer}>
        <span>Download speed</span>
        <span className={styles.under}>all layers, peak {speed(lane.peak)}</span>
      </span>
      <span className={styles.size} />
      <span className={styles.track} aria-hidden="true">
        <span className={styles.plot}>
          {plot}
          <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" aria-hidden="true">
            {first && (
              <path className={styles.area} d={`M${x(first.at)} ${HEIGHT}${steps(lane.means)}V${HEIGHT}Z`} />
            )}
            {first && <path className={styles.mean} d={`M${x(first.at)} ${HEIGHT}${steps(lane.means)}`} />}
            {lane.observed.map((run) => {
              const line = run.map(({ at, speed: value }) => `${x(at)} ${y(value)}`).join('L');
              const [from, to] = [run[0]?.at ?? 0, run.at(-1)?.at ?? 0];
              return (
                <g key={from}>
                  <path className={styles.area} d={`M${x(from)} ${HEIGHT}L${line}L${x(to)} ${HEIGHT}Z`} />
                  <path className={styles.line} d={`M${line}`} />
                </g>
              );
            })}
          </svg>
        </span>
      </span>
    </div>
  );
}
