// What runs and what waits on the same node, in the order in which the kubelet takes it.

import type { PullStatus } from '../../api/gen/wire';
import { left, NONE, percent } from '../../model/format';
import { shortName } from '../../model/image';
import type { NodeQueue } from '../../model/peers';
import { isLive, isSeen, pullState } from '../../model/pull';
import { visible } from '../../model/text';
import { href } from '../../route';
import { Bar } from '../../ui/Bar';
import { toneOf } from '../../ui/LayerStrip';
import { More } from '../../ui/More';
import { Panel } from '../../ui/Panel';
import { stages } from './Peers';
import styles from './Side.module.css';

const SHOWN = 8;

export function Queue({ pull, queue }: { pull: PullStatus; queue: NodeQueue }) {
  const { running, waiting } = queue;
  const all = [...running, ...waiting];
  // Alone it says nothing that is not said above.
  if (all.length === 0 || (all.length === 1 && all[0]?.id === pull.id)) {
    if (isLive(pull)) return null;
    return (
      <Panel title="On this node now">
        <p className={styles.none}>Nothing is being pulled there.</p>
      </Panel>
    );
  }
  return (
    <Panel title="On this node now" more={`${running.length} running · ${waiting.length} queued`}>
      <ol className={styles.bars}>
        <More ids={all.map(({ id }) => id)} limit={SHOWN} what="pulls">
          {(id, index) => {
            const each = all[index];
            return (
              each && <Queued key={id} pull={each} here={id === pull.id} place={index - running.length + 1} />
            );
          }}
        </More>
      </ol>
    </Panel>
  );
}

/** `place` in the queue begins with 1. */
function Queued({ pull, here, place }: { pull: PullStatus; here: boolean; place: number }) {
  const name = visible(shortName(pull));
  const eta = isSeen(pull) ? pull.etaSeconds : undefined;
  const text = place > 0 ? `queued, ${place}.` : eta === undefined ? NONE : left(eta);
  return (
    <li className={`${styles.bar} ${here ? styles.here : ''}`}>
      {here ? (
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
        tone={toneOf(pull)}
        label={`Pull of ${name}`}
        text={`${percent(pull.percent)}, ${pullState(pull)}`}
        percent={pull.percent}
      />
      <span className={styles.figure}>{text}</span>
    </li>
  );
}
