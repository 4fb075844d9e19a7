// The running, queued and ended pulls of a node on a common time axis.

import { type CSSProperties, useState } from 'react';
import type { PullStatus } from '../../api/gen/wire';
import { useNow, useRow } from '../../live/hooks';
import { duration, parseInstant, percent, timeLeft } from '../../model/format';
import {
  axisShare,
  type TimelineAxis,
  type TimelineSpan,
  type TimelineSpanKind,
  timelineAxis,
  timelineSpans,
} from '../../model/nodes';
import { isFresh, isLive, pullDuration, pullState } from '../../model/pull';
import { href } from '../../route';
import { useFormat } from '../../settings';
import { Image } from '../../ui/Image';
import { StateLabel } from '../../ui/StateLabel';
import styles from './Timeline.module.css';

const PAGE_SIZE = 100;

export function Timeline({ pulls }: { pulls: readonly PullStatus[] }) {
  const now = useNow();
  const [shown, setShown] = useState(PAGE_SIZE);
  const { clock } = useFormat();
  const visiblePulls = pulls.slice(0, shown);
  const axis = timelineAxis(visiblePulls, now);
  const precise = axis.end - axis.start < 10 * 60_000;
  return (
    <>
      <table className={styles.timeline} style={tickStyle(axis)}>
        <caption className="hidden">Pulls of this node over time</caption>
        <thead>
          <tr>
            <th scope="col" className={styles.image}>
              Image
            </th>
            <th scope="col" className={styles.state}>
              State
            </th>
            <th scope="col" className={styles.lane}>
              <span className="hidden">Timeline</span>
              <span className={styles.axis} aria-hidden="true">
                {axis.ticks.map((at) => (
                  <span key={at} style={{ left: `${axisShare(axis, at) * 100}%` }}>
                    {axisShare(axis, at) < 0.92 && clock(at, precise)}
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
          {visiblePulls.map((pull) => (
            <TimelineRow key={pull.id} id={pull.id} axis={axis} />
          ))}
        </tbody>
      </table>
      {pulls.length > shown && (
        <p className={styles.more}>
          <button type="button" onClick={() => setShown(shown + PAGE_SIZE)}>
            Show {Math.min(PAGE_SIZE, pulls.length - shown)} more
          </button>
        </p>
      )}
    </>
  );
}

/** Position and distance of the tick lines behind each row. */
function tickStyle(axis: TimelineAxis): CSSProperties {
  const [first, second] = axis.ticks;
  if (first === undefined) return {};
  const step = second === undefined ? 1 : axisShare(axis, second) - axisShare(axis, first);
  return { '--first': `${axisShare(axis, first) * 100}%`, '--step': `${step * 100}%` } as CSSProperties;
}

const SPAN_LABELS: Record<TimelineSpanKind, string> = {
  queued: 'queued',
  resolving: 'resolving',
  downloading: 'downloading',
  extracting: 'extracting',
  projected: 'estimated remaining',
};

/** `queued 5.0 s, downloading 12.3 s` */
function describeSpans(spans: readonly TimelineSpan[], { start, end }: TimelineAxis): string {
  return spans
    .map(({ kind, from, to }) => `${SPAN_LABELS[kind]} ${duration(((to - from) * (end - start)) / 1000)}`)
    .join(', ');
}

function TimelineRow({ id, axis }: { id: string; axis: TimelineAxis }) {
  const pull = useRow(id);
  const { clock } = useFormat();
  if (pull === undefined) return null;
  const live = isLive(pull);
  const state = pullState(pull);
  const spans = timelineSpans(pull, axis);
  const start = parseInstant(pull.queuedAt) ?? parseInstant(pull.startedAt);
  return (
    <tr data-timeline={id} data-state={state}>
      <th scope="row" className={styles.image}>
        <a className={styles.link} href={href('pulls', [id])}>
          <Image
            imageRef={pull.imageRef}
            repository={pull.repository}
            rootDigest={pull.rootDigest}
            manifestDigest={pull.manifestDigest}
          />
        </a>
      </th>
      <td className={styles.state}>
        <StateLabel state={state} word={pull.outcome ?? pull.phase} />
      </td>
      <td className={styles.lane} title={`from ${clock(start)}: ${describeSpans(spans, axis)}`}>
        <span className={styles.track}>
          <i className={styles.now} style={{ left: `${axisShare(axis, axis.now) * 100}%` }} />
          {spans.map(({ kind, from, to }) => (
            <i
              key={kind}
              className={`${styles.span} ${styles[kind]}`}
              style={{ left: `${from * 100}%`, width: `${(to - from) * 100}%` }}
            />
          ))}
          <span className="hidden">{describeSpans(spans, axis)}</span>
        </span>
      </td>
      <td className={styles.time}>
        {live ? (
          <>
            {percent(pull.percent && Math.min(99, pull.percent))}
            <small>{isFresh(pull) && pull.etaSeconds !== undefined ? timeLeft(pull.etaSeconds) : ''}</small>
          </>
        ) : (
          duration(pullDuration(pull))
        )}
      </td>
    </tr>
  );
}
