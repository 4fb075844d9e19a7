// Six cluster-wide figures, each with a link to its details.

import type { ReactNode } from 'react';
import { useNow, useServer } from '../../live/hooks';
import type { DurationStats } from '../../model/ended';
import type { FailureGroup } from '../../model/failures';
import { count, seconds, timeLeft, UNKNOWN } from '../../model/format';
import type { PullIssue } from '../../model/issues';
import type { Totals } from '../../model/totals';
import { href } from '../../route';
import { useFormat } from '../../settings';
import styles from './Figures.module.css';

interface Props {
  totals: Totals;
  failures: readonly FailureGroup[];
  issues: readonly PullIssue[];
  durations: DurationStats;
}

export function Figures({ totals, failures, issues, durations }: Props) {
  const server = useServer();
  const { bytes } = useFormat();
  const pods = server?.cluster.pods;
  const arePodsUnknown = totals.pods === 0 && pods !== undefined && pods !== 'live';
  const blockedPods = new Set(failures.flatMap((group) => group.pods)).size;
  const withoutEta = totals.withoutEta - totals.queued + totals.stale;
  const worst = issues[0];
  return (
    <ul className={styles.figures} aria-label="Summary">
      <FigureItem
        id="active"
        name="Active pulls"
        value={totals.live.toLocaleString('en')}
        to={href('pulls', [], { q: 'state:live' })}
      >
        {[
          totals.queued > 0 &&
            `${totals.queued.toLocaleString('en')} queued${totals.stale > 0 ? '' : ' by the kubelet'}`,
          totals.stale > 0 && `${totals.stale.toLocaleString('en')} stale`,
        ]
          .filter(Boolean)
          .join(' · ') || (totals.live === 0 ? 'none running' : 'none queued')}
      </FigureItem>
      <FigureItem
        id="pods"
        name="Pods waiting"
        value={arePodsUnknown ? UNKNOWN : totals.pods.toLocaleString('en')}
        to={href('overview', [], { group: 'pod' })}
      >
        {arePodsUnknown ? (
          'pods unavailable'
        ) : totals.podsWaitingSince === undefined ? (
          'none waiting'
        ) : (
          <>
            longest <DurationSince at={totals.podsWaitingSince} />
          </>
        )}
      </FigureItem>
      <FigureItem
        id="eta"
        name="Longest ETA"
        value={totals.longestEta === undefined ? UNKNOWN : timeLeft(totals.longestEta).replace('~', '')}
        to={totals.longestEtaPull === undefined ? undefined : href('pulls', [totals.longestEtaPull])}
      >
        {[
          totals.live > 0 && Boolean(totals.remainingBytes) && `${bytes(totals.remainingBytes)} to go`,
          withoutEta > 0 && `${withoutEta.toLocaleString('en')} unknown`,
        ]
          .filter(Boolean)
          .join(' · ') || 'nothing to download'}
      </FigureItem>
      <FigureItem
        id="failing"
        name="Failing"
        value={failures.length.toLocaleString('en')}
        className={failures.length > 0 ? styles.bad : undefined}
        to={href('failures')}
      >
        {failures.length === 0
          ? 'no failures'
          : blockedPods > 0
            ? `${count(blockedPods, 'pod')} blocked`
            : `on ${count(new Set(failures.flatMap(({ pulls }) => pulls.map((pull) => pull.nodeName))).size, 'node')}`}
      </FigureItem>
      <FigureItem
        id="slow"
        name="Slow or stalled"
        value={issues.length.toLocaleString('en')}
        className={worst ? styles.warn : undefined}
        to={href('pulls', [], { q: worst ? `state:${worst.kind}` : 'state:stalled' })}
      >
        {worst ? `${worst.pull.nodeName}, ${describeIssue(worst)}` : 'none'}
      </FigureItem>
      <FigureItem
        id="duration"
        name="Pull time, p95"
        value={durations.p95 === undefined ? UNKNOWN : seconds(durations.p95)}
        to={href('pulls', [], { q: 'state:completed' })}
      >
        {durations.pulls === 0
          ? 'none completed yet'
          : `p50 ${seconds(durations.p50)} · ${count(durations.pulls, 'pull')}${
              server ? `, ${seconds(server.keepsEndedSeconds).replace(' 00 s', '')}` : ''
            }`}
      </FigureItem>
    </ul>
  );
}

function describeIssue({ kind, slowdown }: PullIssue): string {
  if (kind === 'stalled') return 'stalled';
  return slowdown === undefined ? 'slow' : `${slowdown.toFixed(1)}× slower`;
}

function DurationSince({ at }: { at: number }) {
  return seconds(Math.max(0, useNow() - at) / 1000);
}

interface FigureItemProps {
  id: string;
  name: string;
  value: string;
  className?: string | undefined;
  /** Undefined if there are no details. */
  to: string | undefined;
  children: ReactNode;
}

function FigureItem({ id, name, value, className, to, children }: FigureItemProps) {
  return (
    <li data-figure={id}>
      <a className={`${styles.figure} ${className ?? ''}`} href={to}>
        <span className={styles.name}>{name}</span>
        <span className={styles.value}>{value}</span>
        <span className={styles.more}>{children}</span>
      </a>
    </li>
  );
}
