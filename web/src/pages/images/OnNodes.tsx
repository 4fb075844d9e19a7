// One image on all nodes: the last pull of it on each, and what else is known of it.

import { memo, useMemo } from 'react';
import { useAll, useRow } from '../../live/hooks';
import { term } from '../../model/filter';
import { count, duration, left, percent } from '../../model/format';
import { type ImageEntry, lastPulls } from '../../model/images';
import { isLive, isSeen, pullState, took } from '../../model/pull';
import { href } from '../../route';
import { Ago } from '../../ui/Ago';
import { Copy } from '../../ui/Copy';
import { Bytes } from '../../ui/Figure';
import { Icon } from '../../ui/Icon';
import { State } from '../../ui/State';
import styles from './OnNodes.module.css';

const SHOWN = 50;

export function OnNodes({ entry }: { entry: ImageEntry }) {
  const all = useAll();
  const pulls = useMemo(() => lastPulls(all.rows.values(), entry.key), [all, entry.key]);
  const { digest, digests, key } = entry;
  return (
    <div className={styles.detail}>
      <dl className={styles.facts}>
        <div>
          <dt>Name</dt>
          <dd>
            <code>{key}</code>
            <Copy text={key} label="Copy the name" />
          </dd>
        </div>
        <div>
          <dt>Digest</dt>
          <dd>
            {digest === undefined ? (
              'not known'
            ) : (
              <>
                <code>{digest}</code>
                <Copy text={digest} label="Copy the digest" />
              </>
            )}
            {digests > 1 && (
              <span className={styles.moved}>
                <Icon name="warning" size={13} />
                {count(digests, 'digest')} were seen under this name: not all nodes have the same image
              </span>
            )}
          </dd>
        </div>
      </dl>
      <table className={styles.table}>
        <caption className="hidden">The last pull on each node</caption>
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
          {pulls.slice(0, SHOWN).map(({ id }) => (
            <Line key={id} id={id} />
          ))}
        </tbody>
      </table>
      <a className={styles.all} href={href('pulls', [], { q: term('image', key) })}>
        {pulls.length > SHOWN ? `All of ${count(pulls.length, 'node')} among the pulls` : 'Show the pulls'}
        <Icon name="chevron" size={13} />
      </a>
    </div>
  );
}

const Line = memo(({ id }: { id: string }) => {
  const pull = useRow(id);
  if (pull === undefined) return null;
  const live = isLive(pull);
  const now = live && isSeen(pull);
  return (
    <tr data-on={pull.nodeName}>
      <th scope="row">
        <a href={href('pulls', [id])} title={pull.nodeName}>
          {pull.nodeName}
        </a>
      </th>
      <td>
        <State state={pullState(pull)} word={pull.outcome ?? pull.phase} />
        {live && pull.percent !== undefined && (
          <span className={styles.percent}>{percent(pull.percent)}</span>
        )}
      </td>
      <td className={`${styles.figure} ${styles.middle}`}>
        <Bytes value={pull.downloadedBytes} />
      </td>
      <td className={`${styles.figure} ${styles.middle}`}>
        <Bytes value={now ? pull.bytesPerSec : undefined} per="s" />
      </td>
      <td className={styles.figure}>
        {live ? (now ? left(pull.etaSeconds) : left(undefined)) : duration(took(pull))}
      </td>
      <td className={`${styles.figure} ${styles.middle} ${styles.quiet}`}>
        {live ? '–' : <Ago at={pull.completedAt} />}
      </td>
    </tr>
  );
});
