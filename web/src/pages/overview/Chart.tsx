// Throughput over time as an area chart. Values can be read with pointer, keyboard or screen
// reader.

import { type KeyboardEvent, memo, type PointerEvent, useState } from 'react';
import { UNKNOWN } from '../../model/format';
import {
  axisTop,
  pointAt,
  type ThroughputHistory,
  type ThroughputPoint,
  timeTicks,
  WINDOW_MS,
} from '../../model/throughput';
import { useFormat, useSettings } from '../../settings';
import styles from './Chart.module.css';

const WIDTH = 900;
const HEIGHT = 100;
/** Steps of arrow keys and of page keys. */
const STEP_MS = 10_000;
const PAGE_MS = 60_000;
/** Labels closer to an edge would be cut off. */
const EDGE_PERCENT = 3;

const percent = (share: number): string => `${(share * 100).toFixed(2)}%`;

export function Chart({ history }: { history: ThroughputHistory }) {
  const { units } = useSettings();
  const { rate, speed, clock } = useFormat();
  const [readAt, setReadAt] = useState<number>();
  const top = axisTop(history.peak?.speed ?? 0, units);
  const x = (at: number): number => (at - history.from) / WINDOW_MS;
  const y = (value: number): number => 1 - value / top;
  const label = (value: number): string => {
    const [number, unit] = rate(value);
    return value === 0 ? '0' : `${Number(number)} ${unit}`;
  };

  // The chart moves on while it is read: stay within its range.
  const at = readAt === undefined ? undefined : Math.min(history.to, Math.max(history.from, readAt));
  const point = at === undefined ? undefined : pointAt(history, at);
  const onPointerMove = (event: PointerEvent<HTMLElement>) => {
    const { left, width } = event.currentTarget.getBoundingClientRect();
    setReadAt(history.from + ((event.clientX - left) / width) * WINDOW_MS);
  };
  const onKeyDown = (event: KeyboardEvent) => {
    const next = instantForKey(event.key, at ?? history.to, history);
    if (next === undefined && event.key !== 'Escape') return;
    event.preventDefault();
    setReadAt(next);
  };
  const describe = (instant: number, reading: ThroughputPoint | undefined): string =>
    `${clock(instant)}, ${reading ? speed(reading.speed) : 'unknown'}`;

  return (
    <div className={styles.chart}>
      <ul className={styles.scale} aria-hidden="true">
        {[top, top / 2, 0].map((value) => (
          <li key={value} style={{ top: percent(y(value)) }}>
            {label(value)}
          </li>
        ))}
      </ul>
      <div
        className={styles.plot}
        role="slider"
        tabIndex={0}
        aria-label="Throughput over the last 15 minutes"
        aria-valuemin={0}
        aria-valuemax={WINDOW_MS / 1000}
        aria-valuenow={Math.round(((at ?? history.to) - history.from) / 1000)}
        aria-valuetext={describe(point?.at ?? at ?? history.to, at === undefined ? history.latest : point)}
        onPointerMove={onPointerMove}
        onPointerLeave={() => setReadAt(undefined)}
        onBlur={() => setReadAt(undefined)}
        onKeyDown={onKeyDown}
      >
        <ThroughputPlot history={history} top={top} />
        {history.serverStartedAt !== undefined && (
          <span
            className={`${styles.began} ${x(history.serverStartedAt) > 0.6 ? styles.before : ''}`}
            style={{ left: percent(x(history.serverStartedAt)) }}
          >
            history starts at {clock(history.serverStartedAt, false)}
          </span>
        )}
        {history.latest && !point && (
          <i
            className={styles.dot}
            style={{ left: percent(x(history.latest.at)), top: percent(y(history.latest.speed)) }}
          />
        )}
        {at !== undefined && (
          <>
            <i className={styles.cursor} style={{ left: percent(x(point?.at ?? at)) }} />
            {point && (
              <i
                className={styles.dot}
                style={{ left: percent(x(point.at)), top: percent(y(point.speed)) }}
              />
            )}
            <span
              className={`${styles.tip} ${x(at) > 0.6 ? styles.before : ''}`}
              style={{ left: percent(x(point?.at ?? at)) }}
              data-field="reading"
            >
              <b>{point ? speed(point.speed) : UNKNOWN}</b> {clock(point?.at ?? at)}
            </span>
          </>
        )}
      </div>
      <ul className={styles.times} aria-hidden="true">
        {timeTicks(history.from, history.to)
          .filter((tick) => x(tick) * 100 > EDGE_PERCENT && x(tick) * 100 < 100 - EDGE_PERCENT)
          .map((tick) => (
            <li key={tick} style={{ left: percent(x(tick)) }}>
              {clock(tick, false)}
            </li>
          ))}
      </ul>
    </div>
  );
}

function instantForKey(key: string, at: number, { from, to }: ThroughputHistory): number | undefined {
  switch (key) {
    case 'ArrowLeft':
    case 'ArrowDown':
      return at - STEP_MS;
    case 'ArrowRight':
    case 'ArrowUp':
      return at + STEP_MS;
    case 'PageDown':
      return at - PAGE_MS;
    case 'PageUp':
      return at + PAGE_MS;
    case 'Home':
      return from;
    case 'End':
      return to;
    default:
      return undefined;
  }
}

/** Memoized: renders on new samples, not while values are read. */
const ThroughputPlot = memo(({ history, top }: { history: ThroughputHistory; top: number }) => {
  const x = (at: number): string => (((at - history.from) / WINDOW_MS) * WIDTH).toFixed(1);
  const y = (speed: number): string => ((1 - speed / top) * HEIGHT).toFixed(1);
  return (
    <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" aria-hidden="true">
      <defs>
        <linearGradient id="throughput" x1="0" y1="0" x2="0" y2="1">
          <stop offset="0" className={styles.above} />
          <stop offset="1" className={styles.below} />
        </linearGradient>
      </defs>
      {[0, 0.5, 1].map((share) => (
        <path
          key={share}
          className={share === 1 ? styles.floor : styles.rule}
          d={`M0 ${share * HEIGHT}H${WIDTH}`}
        />
      ))}
      {history.serverStartedAt !== undefined && (
        <path className={styles.start} d={`M${x(history.serverStartedAt)} 0V${HEIGHT}`} />
      )}
      {history.runs.map((run) => {
        const [first, last] = [run[0] as ThroughputPoint, run.at(-1) as ThroughputPoint];
        // A single point needs a second one to form a line.
        const points = run.length === 1 ? [first, { ...first, at: first.at + 2_000 }] : run;
        const line = points.map(({ at, speed }) => `${x(at)} ${y(speed)}`).join('L');
        return (
          <g key={first.at}>
            <path fill="url(#throughput)" d={`M${x(first.at)} ${HEIGHT}L${line}L${x(last.at)} ${HEIGHT}Z`} />
            <path className={styles.line} d={`M${line}`} />
          </g>
        );
      })}
    </svg>
  );
});
