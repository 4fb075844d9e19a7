// What stands where groups would while nothing is pulled.

import { useMemo } from 'react';
import { useAll } from '../../live/hooks';
import { lastEnded } from '../../model/ended';
import { count } from '../../model/format';
import { shortName } from '../../model/image';
import { pullState } from '../../model/pull';
import { visible } from '../../model/text';
import { href } from '../../route';
import { Ago } from '../../ui/Ago';
import { Icon } from '../../ui/Icon';
import styles from './Idle.module.css';

export function Idle({ nodes }: { nodes: number }) {
  const all = useAll();
  const last = useMemo(() => lastEnded(all.rows.values(), 1)[0], [all]);
  return (
    <div className={styles.idle} data-message="idle">
      <Icon name="completed" size={20} />
      <h3>Nothing is being pulled</h3>
      <p>
        {count(nodes, 'node is', 'nodes are')} watched. A pull shows up here within a second of its start.
      </p>
      {last && (
        <p>
          {pullState(last) === 'completed' ? 'Last finished: ' : 'Last ended: '}
          <a href={href('pulls', [last.id])}>{visible(shortName(last))}</a> on {visible(last.nodeName)},{' '}
          <Ago at={last.completedAt} />
        </p>
      )}
    </div>
  );
}
