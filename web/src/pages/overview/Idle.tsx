// The empty state while no pull is running.

import { useMemo } from 'react';
import { useDataset } from '../../live/hooks';
import { lastEnded } from '../../model/ended';
import { count } from '../../model/format';
import { shortName } from '../../model/image';
import { pullState } from '../../model/pull';
import { escapeHidden } from '../../model/text';
import { href } from '../../route';
import { Ago } from '../../ui/Ago';
import { Icon } from '../../ui/Icon';
import styles from './Idle.module.css';

export function Idle({ nodes }: { nodes: number }) {
  const dataset = useDataset();
  const last = useMemo(() => lastEnded(dataset.rows.values(), 1)[0], [dataset]);
  return (
    <div className={styles.idle} data-message="idle">
      <Icon name="completed" size={20} />
      <h3>No pulls running</h3>
      <p>{count(nodes, 'node', 'nodes')} watched. Pulls appear within a second of starting.</p>
      {last && (
        <p>
          {pullState(last) === 'completed' ? 'Last completed: ' : 'Last ended: '}
          <a href={href('pulls', [last.id])}>{escapeHidden(shortName(last))}</a> on{' '}
          {escapeHidden(last.nodeName)}, <Ago at={last.completedAt} />
        </p>
      )}
    </div>
  );
}
