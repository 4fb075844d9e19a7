// The throughput as an area over time. The drawing is for the eye; at each moment it can be read by pointer or by key,
// and read out.

import { type KeyboardEvent, memo, type PointerEvent, useState } from 'react';
import { NONE } from '../../model/format';
import { type History, niceTop, type Point, pointAt, timeTicks, WINDOW_MS } from '../../model/throughput';
import { useFormat, useSettings } from '../../settings';
import styles from './Chart.module.css';

const WIDTH = 900;
const HEIGHT = 100;
/** Arrows move by this, and pages by that. */
const STEP_MS = 10_000;
const PAGE_MS = 60_000;
/** Labels nearer to an edge would be cut. */
const EDGE = 3;

const percent = (share: number): string => `${(share * 100).toFixed(2)}%`;

export function Chart({ history }: { history: History }) {
  const { units } = useSettings();
  const { rate, speed, clock } = useFormat();
  const [read, setRead] = useState<number>();
  const top = niceTop(history.peak?.speed ?? 0, units);
  const x = (at: number): number => (at - history.from) / WINDOW_MS;
  const y = (value: number): number => 1 - value / top;
  const label = (value: number): string => {
    const [number, unit] = rate(value);
    return value === 0 ? '0' : `${Number(number)} ${unit}`;
  };

  // What is read stays within what is shown.
  const at = read === undefined ? undefined : Math.min(history.to, Math.max(history.from, read));
  const point = at === undefined ? undefined : pointAt(history, at);
  const move = (event: PointerEvent<HTMLElement>) => {
    const { left, width } = event.currentTarget.getBoundingClientRect();
    setRead(history.from + ((event.clientX - left) / width) * WINDOW_MS);
  };
  const key = (event: KeyboardEvent) => {
    const next = keyed(event.key, at ?? history.to, history);
    if (next === undefined && event.key !== 'Escape') return;
    event.preventDefault();
    setRead(next);
  };
  const said = (moment: number, found: Point | undefined): string =>
    `${clock(moment)}, ${found ? speed(found.speed) : 'not known'}`;

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
        aria-label="Throughput of the last 15 minutes, by time"
        aria-valuemin={0}
        aria-valuemax={WINDOW_MS / 1000}
        aria-valuenow={Math.round(((at ?? history.to) - history.from) / 1000)}
        aria-valuetext={said(point?.at ?? at ?? history.to, at === undefined ? history.last : point)}
        onPointerMove={move}
        onPointerLeave={() => setRead(undefined)}
        onBlur={() => setRead(undefined)}
        onKeyDown={key}
      >
        <Drawing history={history} top={top} />
        {history.began !== undefined && (
          <span
            className={`${styles.began} ${x(history.began) > 0.6 ? styles.before : ''}`}
            style={{ left: percent(x(history.began)) }}
          >
            history starts at {clock(history.began, false)}
          </span>
        )}
        {history.last && !point && (
          <i
            className={styles.dot}
            style={{ left: percent(x(history.last.at)), top: percent(y(history.last.speed)) }}
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
              <b>{point ? speed(point.speed) : NONE}</b> {clock(point?.at ?? at)}
            </span>
          </>
        )}
      </div>
      <ul className={styles.times} aria-hidden="true">
        {timeTicks(history.from, history.to)
          .filter((tick) => x(tick) * 100 > EDGE && x(tick) * 100 < 100 - EDGE)
          .map((tick) => (
            <li key={tick} style={{ left: percent(x(tick)) }}>
              {clock(tick, false)}
            </li>
          ))}
      </ul>
    </div>
  );
}

function keyed(key: string, at: number, { from, to }: History): number | undefined {
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

/** Drawn again when there is another point, and not while it is read. */
const Drawing = memo(({ history, top }: { history: History; top: number }) => {
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
      {history.began !== undefined && (
        <path className={styles.start} d={`M${x(history.began)} 0V${HEIGHT}`} />
      )}
      {history.runs.map((run) => {
        const [first, last] = [run[0] as Point, run.at(-1) as Point];
        // One point alone would be no line.
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
