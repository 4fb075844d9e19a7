// The whole cluster at a glance: how fast, how long still, what is wrong.

import { useMemo } from 'react';
import { useAll, useSync } from '../../live/hooks';
import { pullTimes } from '../../model/ended';
import { failing } from '../../model/failures';
import { totals } from '../../model/totals';
import { trouble } from '../../model/trouble';
import type { PageProps } from '../../route';
import { NoAgents } from '../../ui/NoAgents';
import { usePast } from '../../ui/shell/past';
import { Attention } from './Attention';
import { Figures } from './Figures';
import { Finished } from './Finished';
import { groupedBy, InProgress } from './InProgress';
import { NodeGrid } from './NodeGrid';
import styles from './Overview.module.css';
import { Skeleton } from './Skeleton';
import { Throughput } from './Throughput';

export function Overview({ route }: PageProps) {
  const { rows, nodes } = useAll();
  const sync = useSync();
  const past = usePast();
  return (
    <div className={`${styles.overview} ${past ? styles.past : ''}`}>
      <h1 className="hidden">Overview</h1>
      {sync === 'filling' ? (
        // Of a part of the snapshot each sum would be wrong.
        <Skeleton />
      ) : rows.size + nodes.size === 0 ? (
        <NoAgents />
      ) : (
        <Cluster asked={route.query.get('group')} />
      )}
    </div>
  );
}

function Cluster({ asked }: { asked: string | null }) {
  const all = useAll();
  const { sum, failed, troubles, times } = useMemo(
    () => ({
      sum: totals(all.rows.values(), all.nodes.values()),
      failed: failing(all),
      troubles: trouble(all.rows.values()),
      times: pullTimes(all.rows.values()),
    }),
    [all],
  );
  return (
    <>
      <div className={styles.head}>
        <Throughput sum={sum} />
        <Figures sum={sum} failing={failed} troubles={troubles} times={times} />
      </div>
      <div className={styles.columns}>
        <div className={styles.main}>
          <InProgress by={groupedBy(asked)} sum={sum} />
          <Finished />
        </div>
        <div className={styles.side}>
          <Attention failing={failed} troubles={troubles} />
          <NodeGrid failing={failed} />
        </div>
      </div>
    </>
  );
}
