// What a row of the table says of a pull, cell by cell.

import type { ReactNode } from 'react';
import type { PullStatus } from '../../api/gen/wire';
import { count, duration, left, NONE, percent, range } from '../../model/format';
import { imageName, shortName } from '../../model/image';
import { podNames, podText } from '../../model/pods';
import { isLive, isSeen, kubelet, pullState, reason, took } from '../../model/pull';
import { visible } from '../../model/text';
import { useFormat } from '../../settings';
import { Ago } from '../../ui/Ago';
import { Bytes, Figure } from '../../ui/Figure';
import { Icon } from '../../ui/Icon';
import { LayerStrip } from '../../ui/LayerStrip';
import { Hint, hasNotes, Notes, Why } from '../../ui/Notes';
import { Pods } from '../../ui/Pods';
import styles from './cells.module.css';

/** All there is to a row in one text, since its cells are cut to their width. */
export function title(pull: PullStatus): string {
  const pods = podNames(pull.pods);
  const { known } = imageName(pull);
  const lines = [
    known ? (pull.imageRef ?? pull.repository) : pull.rootDigest,
    ...pods.slice(0, 5).map(podText),
    pods.length > 5 ? `and ${count(pods.length - 5, 'pod')} more` : '',
    isLive(pull) ? '' : reason(pull),
    isLive(pull) ? '' : pull.failure?.hint,
  ];
  return visible(lines.filter(Boolean).join('\n'));
}

export function Amount({ pull }: { pull: PullStatus }) {
  const { bytes } = useFormat();
  const live = isLive(pull);
  const known = pull.totalKnown && pull.toDownloadBytes !== undefined;
  const quiet = live && !known;
  const text = !live
    ? bytes(pull.totalBytes)
    : known
      ? `${bytes(pull.downloadedBytes)} of ${bytes(pull.toDownloadBytes)}`
      : pull.phase === 'queued'
        ? 'not begun yet'
        : 'size not known yet';
  return (
    <span className={quiet ? styles.quiet : styles.figure} data-field="bytes">
      {text}
    </span>
  );
}

/** Of a live pull: all of it is done only where it has ended. */
const done = ({ percent: value }: PullStatus): string =>
  percent(value === undefined ? undefined : Math.min(value, 99));

export function Progress({ pull }: { pull: PullStatus }) {
  const { bytes } = useFormat();
  const live = isLive(pull);
  const words = [
    live ? done(pull) : pullState(pull),
    pull.toDownloadBytes === undefined
      ? 'size not known'
      : `${bytes(pull.downloadedBytes)} of ${bytes(pull.toDownloadBytes)}`,
    pull.cachedBytes ? `${bytes(pull.cachedBytes)} were on the node` : '',
  ].filter(Boolean);
  return (
    <span className={styles.progress}>
      <LayerStrip pull={pull} label={`Pull of ${shortName(pull)}`} text={words.join(', ')} />
      {live ? (
        <span className={styles.percent}>
          <Figure value={done(pull)} field="percent" />
        </span>
      ) : (
        <span className={styles.ago}>
          <Ago at={pull.completedAt} />
        </span>
      )}
    </span>
  );
}

/** In the place of figures that a failed pull has no use for. */
export function Failed({ pull, timed }: { pull: PullStatus; timed?: boolean }) {
  return (
    <span className={styles.failed}>
      <span className={styles.lines}>
        <Why pull={pull} />
        <span className={styles.second}>
          <Hint pull={pull} />
        </span>
      </span>
      <span className={`${styles.lines} ${styles.end}`}>
        <span className={styles.ago}>
          <Ago at={pull.completedAt} />
        </span>
        {timed && <Took pull={pull} />}
      </span>
    </span>
  );
}

export function Speed({ pull }: { pull: PullStatus }) {
  if (isLive(pull))
    return <Bytes value={isSeen(pull) ? pull.bytesPerSec : undefined} per="s" field="speed" />;
  return (
    <span className={styles.over} title="From its start to its end">
      <Bytes value={mean(pull)} per="s" field="speed" />
    </span>
  );
}

/** From end to end, waiting and unpacking and all. */
function mean(pull: PullStatus): number | undefined {
  const time = took(pull);
  if (!time || !pull.downloadedBytes || pullState(pull) !== 'completed') return undefined;
  return pull.downloadedBytes / time;
}

export function Eta({ pull }: { pull: PullStatus }) {
  if (!isLive(pull)) return <Took pull={pull} />;
  // How long one takes that is not seen, nobody knows.
  const { etaSeconds, etaLowSeconds, etaHighSeconds }: Partial<PullStatus> = isSeen(pull) ? pull : {};
  const wide = range(etaSeconds, etaLowSeconds, etaHighSeconds);
  return (
    <span className={styles.figure} title={wide} data-field="eta">
      {etaSeconds === undefined ? NONE : left(etaSeconds)}
    </span>
  );
}

function Took({ pull }: { pull: PullStatus }) {
  const time = took(pull);
  const how = pullState(pull) === 'completed' ? 'in' : 'after';
  return (
    <span className={`${styles.figure} ${styles.over}`} data-field="took">
      {time === undefined ? '' : `${how} ${duration(time)}`}
      {pull.kubelet?.agrees === false && (
        <span className={styles.disagrees} title={`The kubelet says ${kubelet(pull.kubelet)}`}>
          <Icon name="warning" size={12} />
        </span>
      )}
    </span>
  );
}

export function LayersDone({ pull }: { pull: PullStatus }) {
  if (pull.layerCount === undefined) return <Figure value={NONE} />;
  return <Figure value={`${pull.layersDone ?? NONE}`} unit={`/ ${pull.layerCount}`} />;
}

/** Who waits, and below it why. */
export function Waiting({ pull }: { pull: PullStatus }) {
  const links = (pull.pods?.length ?? 0) + (pull.candidates?.length ?? 0) > 0;
  const noted = hasNotes(pull);
  return (
    <span className={styles.lines}>
      {(links || !noted) && (
        <span className={styles.line}>
          {links ? <Pods pull={pull} /> : <span className={styles.quiet}>{NONE}</span>}
        </span>
      )}
      {noted && (
        <span className={styles.line}>
          <Notes pull={pull} />
        </span>
      )}
    </span>
  );
}

export function Started({ pull }: { pull: PullStatus }): ReactNode {
  return (
    <span className={`${styles.figure} ${styles.over}`}>
      <Ago at={pull.startedAt} />
    </span>
  );
}
