// The pulls that ended last.

import { useMemo } from 'react';
import type { PullStatus } from '../../api/gen/wire';
import { useAll } from '../../live/hooks';
import { lastEnded } from '../../model/ended';
import { duration } from '../../model/format';
import { imageName } from '../../model/image';
import { pullState, took } from '../../model/pull';
import { visible } from '../../model/text';
import { href } from '../../route';
import { Ago } from '../../ui/Ago';
import { Bytes, Figure } from '../../ui/Figure';
import { Panel } from '../../ui/Panel';
import { State } from '../../ui/State';
import styles from './Finished.module.css';
import { Open } from './Open';

const SHOWN = 12;

export function Finished() {
  const all = useAll();
  const last = useMemo(() => lastEnded(all.rows.values(), SHOWN), [all]);
  if (last.length === 0) return null;
  return (
    <Panel
      className={styles.panel}
      title="Just finished"
      beside={<Open to={href('pulls', [], { q: 'state:ended' })}>All that ended</Open>}
    >
      <table className={styles.finished}>
        <caption className="hidden">Pulls that ended last</caption>
        <thead>
          <tr>
            <th scope="col">
              <span className="hidden">State</span>
            </th>
            <th scope="col">Image</th>
            <th scope="col">Node</th>
            <th scope="col">Downloaded</th>
            <th scope="col">Took</th>
            <th scope="col">Mean speed</th>
            <th scope="col">Ended</th>
          </tr>
        </thead>
        <tbody>
          {last.map((pull) => (
            <Row key={pull.id} pull={pull} />
          ))}
        </tbody>
      </table>
    </Panel>
  );
}

function Row({ pull }: { pull: PullStatus }) {
  const { name, version, known } = imageName(pull);
  const state = pullState(pull);
  const time = took(pull);
  const { downloadedBytes } = pull;
  // From end to end, waiting and unpacking and all.
  const mean = state === 'completed' && time && downloadedBytes ? downloadedBytes / time : undefined;
  return (
    <tr data-ended={pull.id} data-state={state}>
      <td className={styles.state}>
        <State state={state} word={pull.outcome ?? pull.phase} />
      </td>
      <th scope="row">
        <a
          className={styles.image}
          href={href('pulls', [pull.id])}
          title={visible(pull.imageRef ?? pull.repository ?? '')}
        >
          <b className={known ? undefined : styles.nameless}>{visible(name)}</b>
          {version && <span>{visible(version)}</span>}
        </a>
      </th>
      <td className={styles.node} title={visible(pull.nodeName)}>
        {visible(pull.nodeName)}
      </td>
      <td className={styles.bytes}>
        <Bytes value={downloadedBytes} />
      </td>
      <td className={styles.took}>
        <Figure value={duration(time)} />
      </td>
      <td className={styles.mean}>
        <Bytes value={mean} per="s" />
      </td>
      <td className={styles.ago}>
        <Ago at={pull.completedAt} />
      </td>
    </tr>
  );
}
