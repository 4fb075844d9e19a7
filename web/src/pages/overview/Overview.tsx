// The cluster at a glance: throughput, pulls in progress, problems.

import { useMemo } from 'react';
import { useDataset, useSyncState } from '../../live/hooks';
import { durationStats } from '../../model/ended';
import { currentFailures } from '../../model/failures';
import { findIssues } from '../../model/issues';
import { computeTotals } from '../../model/totals';
import type { PageProps } from '../../route';
import { NoAgents } from '../../ui/NoAgents';
import { useIsStale } from '../../ui/shell/stale';
import { Attention } from './Attention';
import { Figures } from './Figures';
import { Finished } from './Finished';
import { InProgress, parseGrouping } from './InProgress';
import { NodeGrid } from './NodeGrid';
import styles from './Overview.module.css';
import { Skeleton } from './Skeleton';
import { Throughput } from './Throughput';

export function Overview({ route }: PageProps) {
  const { rows, nodes } = useDataset();
  const sync = useSyncState();
  const isStale = useIsStale();
  return (
    <div className={`${styles.overview} ${isStale ? styles.past : ''}`}>
      <h1 className="hidden">Overview</h1>
      {sync === 'loading' ? (
        // Totals of a partial snapshot would be wrong.
        <Skeleton />
      ) : rows.size + nodes.size === 0 ? (
        <NoAgents />
      ) : (
        <Cluster grouping={route.query.get('group')} />
      )}
    </div>
  );
}

function Cluster({ grouping }: { grouping: string | null }) {
  const dataset = useDataset();
  const { totals, failures, issues, durations } = useMemo(
    () => ({
      totals: computeTotals(dataset.rows.values(), dataset.nodes.values()),
      failures: currentFailures(dataset),
      issues: findIssues(dataset.rows.values()),
      durations: durationStats(dataset.rows.values()),
    }),
    [dataset],
  );
  return (
    <>
      <div className={styles.head}>
        <Throughput totals={totals} />
        <Figures totals={totals} failures={failures} issues={issues} durations={durations} />
      </div>
      <div className={styles.columns}>
        <div className={styles.main}>
          <InProgress by={parseGrouping(grouping)} totals={totals} />
          <Finished />
        </div>
        <div className={styles.side}>
          <Attention failures={failures} issues={issues} />
          <NodeGrid failures={failures} />
        </div>
      </div>
    </>
  );
}
