// One pull. It listens to its own row only, so a frame for another does not draw it again.

import { memo, useId } from 'react';
import type { PullStatus } from '../api/gen/wire';
import { useOpen, useRow } from '../live/hooks';
import { bytes, count, duration, left, NONE, percent, range, speed } from '../model/format';
import { shortName } from '../model/image';
import { isLive, isSeen, kubelet, pullState, shares, size, took } from '../model/pull';
import { Ago, Elapsed } from './Ago';
import { Bar, type Tone } from './Bar';
import { Facts, hasFacts } from './Facts';
import { Bytes, Figure } from './Figure';
import { Icon } from './Icon';
import { Image } from './Image';
import { Layers } from './Layers';
import { anchor, Notes } from './Notes';
import { Pods } from './Pods';
import styles from './PullRow.module.css';
import { State } from './State';

interface Props {
  id: string;
  /** Whether the layers are shown before anybody says so. */
  open: boolean;
}

export const PullRow = memo(({ id, open }: Props) => {
  const pull = useRow(id);
  const [chosen, choose] = useOpen(id);
  const details = useId();
  if (!pull) return null;
  const live = isLive(pull);
  const layers = (pull.layers?.length ?? 0) > 0;
  const has = layers || hasFacts(pull);
  const shown = has && (chosen ?? (open && live && layers));
  return (
    <li
      id={anchor(id)}
      className={`${styles.pull} ${live ? '' : styles.over}`}
      data-pull={id}
      data-node={pull.nodeName}
      data-phase={pull.phase}
      data-state={pullState(pull)}
    >
      <div className={live ? styles.live : styles.ended}>
        <button
          type="button"
          className={styles.toggle}
          aria-expanded={shown}
          aria-controls={details}
          aria-label={`Details of ${shortName(pull)}`}
          disabled={!has}
          onClick={() => choose(!shown)}
        >
          <Icon name="chevron" />
        </button>
        {live ? <LiveCells pull={pull} /> : <EndedCells pull={pull} />}
      </div>
      <Pods pull={pull} open={() => choose(true)} />
      <Notes pull={pull} />
      <div id={details}>
        {shown && <Facts pull={pull} />}
        {shown && layers && <Layers pull={pull} live={live && isSeen(pull)} />}
      </div>
    </li>
  );
});

function tone(pull: PullStatus): Tone {
  const state = pullState(pull);
  if (state === 'queued') return 'queued';
  if (state === 'unseen' || state === 'stalled') return 'still';
  if (pull.toDownloadBytes === 0 && pull.totalBytes) return 'cached';
  return pull.totalKnown ? 'live' : 'unsized';
}

function LiveCells({ pull }: { pull: PullStatus }) {
  // How fast one that is not seen is, and how long it takes, nobody knows.
  const { bytesPerSec, etaSeconds, etaLowSeconds, etaHighSeconds }: Partial<PullStatus> = isSeen(pull)
    ? pull
    : {};
  const wide = range(etaSeconds, etaLowSeconds, etaHighSeconds);
  const facts = [
    pull.layerCount === undefined ? '' : `${pull.layersDone ?? 0} of ${count(pull.layerCount, 'layer')}`,
    pull.cachedBytes ? `${bytes(pull.cachedBytes)} cached` : '',
  ].filter(Boolean);
  const amount = pull.totalKnown
    ? `${bytes(pull.downloadedBytes)} of ${bytes(pull.toDownloadBytes)}`
    : pull.phase === 'queued'
      ? 'not begun yet'
      : 'size not known yet';
  return (
    <>
      <State state={pullState(pull)} word={pull.phase} />
      <Image {...pick(pull)} />
      <span className={styles.progress}>
        <Bar
          {...shares(pull)}
          tone={tone(pull)}
          label={`Pull of ${shortName(pull)}`}
          text={`${percent(pull.percent)}, ${amount}`}
          percent={pull.percent}
        />
        <span className={styles.percent}>
          <Figure value={percent(pull.percent)} field="percent" />
        </span>
      </span>
      <span className={`${styles.cell} ${styles.amount}`}>
        <span className={styles.top} data-field="bytes">
          {amount}
        </span>
        <small>{facts.join(' · ')}</small>
      </span>
      <span className={`${styles.cell} ${styles.speed}`}>
        <span className={styles.top}>
          <Bytes value={bytesPerSec} per="s" field="speed" />
        </span>
        <small>
          <Elapsed since={pull.startedAt} /> so far
        </small>
      </span>
      <span className={`${styles.cell} ${styles.eta}`}>
        <span className={styles.top} data-field="eta">
          {etaSeconds === undefined ? NONE : `${left(etaSeconds)} left`}
        </span>
        <small
          title={pull.etaBasis === 'assumed' ? 'How fast this node unpacks is not known yet' : undefined}
        >
          {wide}
        </small>
      </span>
    </>
  );
}

function EndedCells({ pull }: { pull: PullStatus }) {
  const state = pullState(pull);
  const time = took(pull);
  const how = state === 'completed' ? 'in' : 'after';
  return (
    <>
      <State state={state} word={pull.outcome ?? pull.phase} />
      <Image {...pick(pull)} line />
      <span className={styles.size} data-field="bytes">
        {size(pull) ?? 'size not known'}
      </span>
      <span className={styles.took} data-field="took">
        {time === undefined ? '' : `${how} ${duration(time)}`}
        {pull.kubelet?.agrees === false && (
          <span className={styles.disagrees} title={`The kubelet says ${kubelet(pull.kubelet)}`}>
            <Icon name="warning" size={12} />
          </span>
        )}
      </span>
      <span className={styles.mean}>{mean(pull, time)}</span>
      <span className={styles.ago}>
        <Ago at={pull.completedAt} />
      </span>
    </>
  );
}

/** From end to end, waiting and unpacking and all. */
function mean(pull: PullStatus, time: number | undefined): string {
  if (!time || !pull.downloadedBytes || pullState(pull) !== 'completed') return '';
  return speed(pull.downloadedBytes / time);
}

/** What `Image` needs: with less it is drawn again less often. */
const pick = ({ imageRef, repository, rootDigest, manifestDigest }: PullStatus) => ({
  imageRef,
  repository,
  rootDigest,
  manifestDigest,
});
