// One image on all nodes: the last pull on each node.

import { memo, useMemo } from 'react';
import { useDataset, useRow } from '../../live/hooks';
import { formatTerm } from '../../model/filter';
import { count, duration, percent, timeLeft } from '../../model/format';
import { type ImageEntry, lastPulls } from '../../model/images';
import { isFresh, isLive, pullDuration, pullState } from '../../model/pull';
import { href } from '../../route';
import { Ago } from '../../ui/Ago';
import { Copy } from '../../ui/Copy';
import { Bytes } from '../../ui/Figure';
import { Icon } from '../../ui/Icon';
import { StateLabel } from '../../ui/StateLabel';
import styles from './OnNodes.module.css';

const MAX_ROWS = 50;

export function OnNodes({ entry }: { entry: ImageEntry }) {
  const dataset = useDataset();
  const pulls = useMemo(() => lastPulls(dataset.rows.values(), entry.key), [dataset, entry.key]);
  const { digest, digests, key } = entry;
  return (
    <div className={styles.detail}>
      <dl className={styles.facts}>
        <div>
          <dt>Name</dt>
          <dd>
            <code>{key}</code>
            <Copy text={key} label="Copy name" />
          </dd>
        </div>
        <div>
          <dt>Digest</dt>
          <dd>
            {digest === undefined ? (
              'unknown'
            ) : (
              <>
                <code>{digest}</code>
                <Copy text={digest} label="Copy digest" />
              </>
            )}
            {digests > 1 && (
              <span className={styles.moved}>
                <Icon name="warning" size={13} />
                {count(digests, 'digest')} for this name: nodes have different images
              </span>
            )}
          </dd>
        </div>
      </dl>
      <table className={styles.table}>
        <caption className="hidden">Last pull on each node</caption>
        <thead>
          <tr>
            <th scope="col">Node</th>
            <th scope="col">State</th>
            <th scope="col" className={`${styles.figure} ${styles.middle}`}>
              Downloaded
            </th>
            <th scope="col" className={`${styles.figure} ${styles.middle}`}>
              Speed
            </th>
            <th scope="col" className={styles.figure}>
              Time
            </th>
            <th scope="col" className={`${styles.figure} ${styles.middle}`}>
              Ended
            </th>
          </tr>
        </thead>
        <tbody>
          {pulls.slice(0, MAX_ROWS).map(({ id }) => (
            <NodeRow key={id} id={id} />
          ))}
        </tbody>
      </table>
      <a className={styles.all} href={href('pulls', [], { q: formatTerm('image', key) })}>
        {pulls.length > MAX_ROWS ? `Show all ${count(pulls.length, 'node')} in pulls` : 'Show pulls'}
        <Icon name="chevron" size={13} />
      </a>
    </div>
  );
}

const NodeRow = memo(({ id }: { id: string }) => {
  const pull = useRow(id);
  if (pull === undefined) return null;
  const isRunning = isLive(pull);
  const hasCurrentData = isRunning && isFresh(pull);
  return (
    <tr data-on={pull.nodeName}>
      <th scope="row">
        <a href={href('pulls', [id])} title={pull.nodeName}>
          {pull.nodeName}
        </a>
      </th>
      <td>
        <StateLabel state={pullState(pull)} word={pull.outcome ?? pull.phase} />
        {isRunning && pull.percent !== undefined && (
          <span className={styles.percent}>{percent(pull.percent)}</span>
        )}
      </td>
      <td className={`${styles.figure} ${styles.middle}`}>
        <Bytes value={pull.downloadedBytes} />
      </td>
      <td className={`${styles.figure} ${styles.middle}`}>
        <Bytes value={hasCurrentData ? pull.bytesPerSec : undefined} per="s" />
      </td>
      <td className={styles.figure}>
        {isRunning
          ? hasCurrentData
            ? timeLeft(pull.etaSeconds)
            : timeLeft(undefined)
          : duration(pullDuration(pull))}
      </td>
      <td className={`${styles.figure} ${styles.middle} ${styles.quiet}`}>
        {isRunning ? '–' : <Ago at={pull.completedAt} />}
      </td>
    </tr>
  );
});
