// The same image on other nodes.

import type { PullStatus } from '../../api/gen/wire';
import { percent, timeLeft } from '../../model/format';
import { pullState, shares } from '../../model/pull';
import { href } from '../../route';
import { useFormat } from '../../settings';
import { Bar } from '../../ui/Bar';
import { barTone } from '../../ui/LayerStrip';
import { LimitedList } from '../../ui/LimitedList';
import { Panel } from '../../ui/Panel';
import styles from './Side.module.css';

const MAX_PEERS = 9;

export function Peers({ pull, others }: { pull: PullStatus; others: readonly PullStatus[] }) {
  if (others.length === 0) return null;
  const ready = others.filter(({ outcome }) => outcome === 'completed').length;
  return (
    <Panel
      title="Same image on other nodes"
      summary={`${ready} of ${others.length.toLocaleString('en')} ready`}
    >
      <ul className={styles.bars}>
        <Peer pull={pull} isCurrent />
        <LimitedList ids={others.map(({ id }) => id)} limit={MAX_PEERS} noun="nodes">
          {(id, index) => {
            const other = others[index];
            return other && <Peer key={id} pull={other} />;
          }}
        </LimitedList>
      </ul>
    </Panel>
  );
}

/** A completed pull is shown as full, whatever was counted. */
export const stages = (pull: PullStatus) =>
  pull.outcome === 'completed' ? { downloaded: 1, extracted: 1 } : shares(pull);

function Peer({ pull, isCurrent }: { pull: PullStatus; isCurrent?: boolean }) {
  const { speed } = useFormat();
  const state = pullState(pull);
  const rate =
    state === 'downloading' && pull.bytesPerSec !== undefined ? speed(pull.bytesPerSec) : STATE_LABELS[state];
  return (
    <li className={`${styles.bar} ${isCurrent ? styles.here : ''}`} data-peer={pull.nodeName}>
      {isCurrent ? (
        <b className={styles.mono} title={pull.nodeName}>
          {pull.nodeName}
        </b>
      ) : (
        <a className={styles.mono} href={href('pulls', [pull.id])} title={pull.nodeName}>
          {pull.nodeName}
        </a>
      )}
      <Bar
        {...stages(pull)}
        tone={barTone(pull)}
        label={`Pull on ${pull.nodeName}`}
        valueText={[
          percent(pull.percent),
          rate ?? state,
          pull.etaSeconds === undefined ? '' : `${timeLeft(pull.etaSeconds)} left`,
        ]
          .filter(Boolean)
          .join(', ')}
        percent={pull.percent}
      />
      <span className={styles.figure}>{rate ?? state}</span>
    </li>
  );
}

const STATE_LABELS: Partial<Record<ReturnType<typeof pullState>, string>> = {
  completed: 'ready',
  unseen: 'stale',
  unknown: 'unknown',
};
