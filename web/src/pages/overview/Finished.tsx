// The most recently ended pulls.

import { useMemo } from 'react';
import type { PullStatus } from '../../api/gen/wire';
import { useDataset } from '../../live/hooks';
import { lastEnded } from '../../model/ended';
import { duration } from '../../model/format';
import { imageName } from '../../model/image';
import { pullDuration, pullState } from '../../model/pull';
import { escapeHidden } from '../../model/text';
import { href } from '../../route';
import { Ago } from '../../ui/Ago';
import { Bytes, Figure } from '../../ui/Figure';
import { Panel } from '../../ui/Panel';
import { StateLabel } from '../../ui/StateLabel';
import styles from './Finished.module.css';
import { HeadingLink } from './HeadingLink';

const MAX_ROWS = 12;

export function Finished() {
  const dataset = useDataset();
  const ended = useMemo(() => lastEnded(dataset.rows.values(), MAX_ROWS), [dataset]);
  if (ended.length === 0) return null;
  return (
    <Panel
      className={styles.panel}
      title="Recently ended"
      actions={<HeadingLink to={href('pulls', [], { q: 'state:ended' })}>All ended</HeadingLink>}
    >
      <table className={styles.finished}>
        <caption className="hidden">Recently ended pulls</caption>
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
          {ended.map((pull) => (
            <EndedRow key={pull.id} pull={pull} />
          ))}
        </tbody>
      </table>
    </Panel>
  );
}

function EndedRow({ pull }: { pull: PullStatus }) {
  const { name, version, known } = imageName(pull);
  const state = pullState(pull);
  const seconds = pullDuration(pull);
  const { downloadedBytes } = pull;
  // Over the whole pull, including waiting and unpacking.
  const meanSpeed =
    state === 'completed' && seconds && downloadedBytes ? downloadedBytes / seconds : undefined;
  return (
    <tr data-ended={pull.id} data-state={state}>
      <td className={styles.state}>
        <StateLabel state={state} word={pull.outcome ?? pull.phase} />
      </td>
      <th scope="row">
        <a
          className={styles.image}
          href={href('pulls', [pull.id])}
          title={escapeHidden(pull.imageRef ?? pull.repository ?? '')}
        >
          <b className={known ? undefined : styles.nameless}>{escapeHidden(name)}</b>
          {version && <span>{escapeHidden(version)}</span>}
        </a>
      </th>
      <td className={styles.node} title={escapeHidden(pull.nodeName)}>
        {escapeHidden(pull.nodeName)}
      </td>
      <td className={styles.bytes}>
        <Bytes value={downloadedBytes} />
      </td>
      <td className={styles.took}>
        <Figure value={duration(seconds)} />
      </td>
      <td className={styles.mean}>
        <Bytes value={meanSpeed} per="s" />
      </td>
      <td className={styles.ago}>
        <Ago at={pull.completedAt} />
      </td>
    </tr>
  );
}
