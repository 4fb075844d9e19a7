// Running and queued pulls of the same node, in the order of the kubelet.

import type { PullStatus } from '../../api/gen/wire';
import { percent, timeLeft, UNKNOWN } from '../../model/format';
import { shortName } from '../../model/image';
import type { NodeQueue } from '../../model/peers';
import { isFresh, isLive, pullState } from '../../model/pull';
import { escapeHidden } from '../../model/text';
import { href } from '../../route';
import { Bar } from '../../ui/Bar';
import { barTone } from '../../ui/LayerStrip';
import { LimitedList } from '../../ui/LimitedList';
import { Panel } from '../../ui/Panel';
import { stages } from './Peers';
import styles from './Side.module.css';

const MAX_PULLS = 8;

export function Queue({ pull, queue }: { pull: PullStatus; queue: NodeQueue }) {
  const { running, waiting } = queue;
  const all = [...running, ...waiting];
  // A list of only this pull would add no information.
  if (all.length === 0 || (all.length === 1 && all[0]?.id === pull.id)) {
    if (isLive(pull)) return null;
    return (
      <Panel title="On this node now">
        <p className={styles.none}>No pulls running</p>
      </Panel>
    );
  }
  return (
    <Panel title="On this node now" summary={`${running.length} running · ${waiting.length} queued`}>
      <ol className={styles.bars}>
        <LimitedList ids={all.map(({ id }) => id)} limit={MAX_PULLS} noun="pulls">
          {(id, index) => {
            const each = all[index];
            return (
              each && (
                <QueueRow
                  key={id}
                  pull={each}
                  isCurrent={id === pull.id}
                  position={index - running.length + 1}
                />
              )
            );
          }}
        </LimitedList>
      </ol>
    </Panel>
  );
}

/** `position` in the queue starts at 1. */
function QueueRow({ pull, isCurrent, position }: { pull: PullStatus; isCurrent: boolean; position: number }) {
  const name = escapeHidden(shortName(pull));
  const eta = isFresh(pull) ? pull.etaSeconds : undefined;
  const text = position > 0 ? `queued, #${position}` : eta === undefined ? UNKNOWN : timeLeft(eta);
  return (
    <li className={`${styles.bar} ${isCurrent ? styles.here : ''}`}>
      {isCurrent ? (
        <b className={styles.mono} title={pull.imageRef}>
          {name}
        </b>
      ) : (
        <a className={styles.mono} href={href('pulls', [pull.id])} title={pull.imageRef}>
          {name}
        </a>
      )}
      <Bar
        {...stages(pull)}
        tone={barTone(pull)}
        label={`Pull of ${name}`}
        valueText={`${percent(pull.percent)}, ${pullState(pull)}`}
        percent={pull.percent}
      />
      <span className={styles.figure}>{text}</span>
    </li>
  );
}
