// The same image on other nodes, beside this one.

import type { PullStatus } from '../../api/gen/wire';
import { left, percent } from '../../model/format';
import { pullState, shares } from '../../model/pull';
import { href } from '../../route';
import { useFormat } from '../../settings';
import { Bar } from '../../ui/Bar';
import { toneOf } from '../../ui/LayerStrip';
import { More } from '../../ui/More';
import { Panel } from '../../ui/Panel';
import styles from './Side.module.css';

const SHOWN = 9;

export function Peers({ pull, others }: { pull: PullStatus; others: readonly PullStatus[] }) {
  if (others.length === 0) return null;
  const ready = others.filter(({ outcome }) => outcome === 'completed').length;
  return (
    <Panel title="Same image on other nodes" more={`${ready} of ${others.length.toLocaleString('en')} ready`}>
      <ul className={styles.bars}>
        <Peer pull={pull} here />
        <More ids={others.map(({ id }) => id)} limit={SHOWN} what="nodes">
          {(id, index) => {
            const other = others[index];
            return other && <Peer key={id} pull={other} />;
          }}
        </More>
      </ul>
    </Panel>
  );
}

/** Both stages of one that is over and well are done, whatever was counted. */
export const stages = (pull: PullStatus) =>
  pull.outcome === 'completed' ? { downloaded: 1, extracted: 1 } : shares(pull);

function Peer({ pull, here }: { pull: PullStatus; here?: boolean }) {
  const { speed } = useFormat();
  const state = pullState(pull);
  const rate =
    state === 'downloading' && pull.bytesPerSec !== undefined ? speed(pull.bytesPerSec) : WORDS[state];
  return (
    <li className={`${styles.bar} ${here ? styles.here : ''}`} data-peer={pull.nodeName}>
      {here ? (
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
        tone={toneOf(pull)}
        label={`Pull on ${pull.nodeName}`}
        text={[
          percent(pull.percent),
          rate ?? state,
          pull.etaSeconds === undefined ? '' : `${left(pull.etaSeconds)} left`,
        ]
          .filter(Boolean)
          .join(', ')}
        percent={pull.percent}
      />
      <span className={styles.figure}>{rate ?? state}</span>
    </li>
  );
}

const WORDS: Partial<Record<ReturnType<typeof pullState>, string>> = {
  completed: 'ready',
  unseen: 'not seen',
  unknown: 'ended unseen',
};
