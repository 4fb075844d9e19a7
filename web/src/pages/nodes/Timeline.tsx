// What one node pulls, has in its queue, and pulled: each a row on the same axis of time.

import { type CSSProperties, useState } from 'react';
import type { PullStatus } from '../../api/gen/wire';
import { useNow, useRow } from '../../live/hooks';
import { duration, instant, left, percent } from '../../model/format';
import { type Axis, axisOf, type Span, type SpanKind, shareOf, spans } from '../../model/nodes';
import { isLive, isSeen, pullState, took } from '../../model/pull';
import { href } from '../../route';
import { useFormat } from '../../settings';
import { Image } from '../../ui/Image';
import { State } from '../../ui/State';
import styles from './Timeline.module.css';

const SHOWN = 100;

export function Timeline({ pulls }: { pulls: readonly PullStatus[] }) {
  const now = useNow();
  const [shown, setShown] = useState(SHOWN);
  const { clock } = useFormat();
  const some = pulls.slice(0, shown);
  const axis = axisOf(some, now);
  const precise = axis.end - axis.start < 10 * 60_000;
  return (
    <>
      <table className={styles.timeline} style={grid(axis)}>
        <caption className="hidden">Pulls of this node on one axis of time</caption>
        <thead>
          <tr>
            <th scope="col" className={styles.image}>
              Image
            </th>
            <th scope="col" className={styles.state}>
              State
            </th>
            <th scope="col" className={styles.lane}>
              <span className="hidden">When</span>
              <span className={styles.axis} aria-hidden="true">
                {axis.ticks.map((at) => (
                  <span key={at} style={{ left: `${shareOf(axis, at) * 100}%` }}>
                    {shareOf(axis, at) < 0.92 && clock(at, precise)}
                  </span>
                ))}
              </span>
            </th>
            <th scope="col" className={styles.time}>
              Took
            </th>
          </tr>
        </thead>
        <tbody>
          {some.map((pull) => (
            <Line key={pull.id} id={pull.id} axis={axis} />
          ))}
        </tbody>
      </table>
      {pulls.length > shown && (
        <p className={styles.more}>
          <button type="button" onClick={() => setShown(shown + SHOWN)}>
            Show {Math.min(SHOWN, pulls.length - shown)} more
          </button>
        </p>
      )}
    </>
  );
}

/** Where the lines of the clock are in each row. */
function grid(axis: Axis): CSSProperties {
  const [first, second] = axis.ticks;
  if (first === undefined) return {};
  const step = second === undefined ? 1 : shareOf(axis, second) - shareOf(axis, first);
  return { '--first': `${shareOf(axis, first) * 100}%`, '--step': `${step * 100}%` } as CSSProperties;
}

const WORDS: Record<SpanKind, string> = {
  queued: 'queued',
  resolving: 'resolving',
  downloading: 'downloading',
  extracting: 'unpacking',
  projected: 'to go, by the best guess',
};

/** `queued 5.0 s, downloading 12.3 s` */
function sentence(parts: readonly Span[], { start, end }: Axis): string {
  return parts
    .map(({ kind, from, to }) => `${WORDS[kind]} ${duration(((to - from) * (end - start)) / 1000)}`)
    .join(', ');
}

function Line({ id, axis }: { id: string; axis: Axis }) {
  const pull = useRow(id);
  const { clock } = useFormat();
  if (pull === undefined) return null;
  const live = isLive(pull);
  const state = pullState(pull);
  const parts = spans(pull, axis);
  const begun = instant(pull.queuedAt) ?? instant(pull.startedAt);
  return (
    <tr data-timeline={id} data-state={state}>
      <th scope="row" className={styles.image}>
        <a href={href('pulls', [id])}>
          <Image
            imageRef={pull.imageRef}
            repository={pull.repository}
            rootDigest={pull.rootDigest}
            manifestDigest={pull.manifestDigest}
          />
        </a>
      </th>
      <td className={styles.state}>
        <State state={state} word={pull.outcome ?? pull.phase} />
      </td>
      <td className={styles.lane} title={`from ${clock(begun)}: ${sentence(parts, axis)}`}>
        <span className={styles.track}>
          <i className={styles.now} style={{ left: `${shareOf(axis, axis.now) * 100}%` }} />
          {parts.map(({ kind, from, to }) => (
            <i
              key={kind}
              className={`${styles.span} ${styles[kind]}`}
              style={{ left: `${from * 100}%`, width: `${(to - from) * 100}%` }}
            />
          ))}
          <span className="hidden">{sentence(parts, axis)}</span>
        </span>
      </td>
      <td className={styles.time}>
        {live ? (
          <>
            {percent(pull.percent && Math.min(99, pull.percent))}
            <small>{isSeen(pull) && pull.etaSeconds !== undefined ? left(pull.etaSeconds) : ''}</small>
          </>
        ) : (
          duration(took(pull))
        )}
      </td>
    </tr>
  );
}
