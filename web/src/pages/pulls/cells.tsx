// The cells of a table row.

import type { ReactNode } from 'react';
import type { PullStatus } from '../../api/gen/wire';
import { count, duration, etaRange, percent, timeLeft, UNKNOWN } from '../../model/format';
import { imageName, shortName } from '../../model/image';
import { podLabel, waitingPods } from '../../model/pods';
import { failureText, isFresh, isLive, kubeletDuration, pullDuration, pullState } from '../../model/pull';
import { escapeHidden } from '../../model/text';
import { useFormat } from '../../settings';
import { Ago } from '../../ui/Ago';
import { Bytes, Figure } from '../../ui/Figure';
import { Icon } from '../../ui/Icon';
import { LayerStrip } from '../../ui/LayerStrip';
import { FailureReason, Hint, hasNotes, Notes } from '../../ui/Notes';
import { Pods } from '../../ui/Pods';
import styles from './cells.module.css';

/** Tooltip of a row with its full text, since cells are truncated. */
export function rowTitle(pull: PullStatus): string {
  const pods = waitingPods(pull.pods);
  const { known } = imageName(pull);
  const lines = [
    known ? (pull.imageRef ?? pull.repository) : pull.rootDigest,
    ...pods.slice(0, 5).map(podLabel),
    pods.length > 5 ? `and ${count(pods.length - 5, 'pod')} more` : '',
    isLive(pull) ? '' : failureText(pull),
    isLive(pull) ? '' : pull.failure?.hint,
  ];
  return escapeHidden(lines.filter(Boolean).join('\n'));
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
        ? 'not started'
        : 'size unknown';
  return (
    <span className={quiet ? styles.quiet : styles.figure} data-field="bytes">
      {text}
    </span>
  );
}

/** Percentage of a live pull, which reaches 100 only when it ends. */
const livePercent = ({ percent: value }: PullStatus): string =>
  percent(value === undefined ? undefined : Math.min(value, 99));

export function Progress({ pull }: { pull: PullStatus }) {
  const { bytes } = useFormat();
  const live = isLive(pull);
  const parts = [
    live ? livePercent(pull) : pullState(pull),
    pull.toDownloadBytes === undefined
      ? 'size unknown'
      : `${bytes(pull.downloadedBytes)} of ${bytes(pull.toDownloadBytes)}`,
    pull.cachedBytes ? `${bytes(pull.cachedBytes)} cached` : '',
  ].filter(Boolean);
  return (
    <span className={styles.progress}>
      <LayerStrip pull={pull} label={`Pull of ${shortName(pull)}`} text={parts.join(', ')} />
      {live ? (
        <span className={styles.percent}>
          <Figure value={livePercent(pull)} field="percent" />
        </span>
      ) : (
        <span className={styles.ago}>
          <Ago at={pull.completedAt} />
        </span>
      )}
    </span>
  );
}

/** Shown instead of the figures of a failed pull. */
export function Failed({ pull, timed }: { pull: PullStatus; timed?: boolean }) {
  return (
    <span className={styles.failed}>
      <span className={styles.lines}>
        <FailureReason pull={pull} />
        <span className={styles.second}>
          <Hint pull={pull} />
        </span>
      </span>
      <span className={`${styles.lines} ${styles.end}`}>
        <span className={styles.ago}>
          <Ago at={pull.completedAt} />
        </span>
        {timed && <PullTime pull={pull} />}
      </span>
    </span>
  );
}

export function Speed({ pull }: { pull: PullStatus }) {
  if (isLive(pull))
    return <Bytes value={isFresh(pull) ? pull.bytesPerSec : undefined} per="s" field="speed" />;
  return (
    <span className={styles.over} title="Average over the whole pull">
      <Bytes value={meanSpeed(pull)} per="s" field="speed" />
    </span>
  );
}

/** Over the whole pull, including waiting and unpacking. */
function meanSpeed(pull: PullStatus): number | undefined {
  const time = pullDuration(pull);
  if (!time || !pull.downloadedBytes || pullState(pull) !== 'completed') return undefined;
  return pull.downloadedBytes / time;
}

export function Eta({ pull }: { pull: PullStatus }) {
  if (!isLive(pull)) return <PullTime pull={pull} />;
  // Without current data there is no estimate.
  const { etaSeconds, etaLowSeconds, etaHighSeconds }: Partial<PullStatus> = isFresh(pull) ? pull : {};
  const range = etaRange(etaSeconds, etaLowSeconds, etaHighSeconds);
  return (
    <span className={styles.figure} title={range} data-field="eta">
      {etaSeconds === undefined ? UNKNOWN : timeLeft(etaSeconds)}
    </span>
  );
}

function PullTime({ pull }: { pull: PullStatus }) {
  const time = pullDuration(pull);
  const preposition = pullState(pull) === 'completed' ? 'in' : 'after';
  return (
    <span className={`${styles.figure} ${styles.over}`} data-field="took">
      {time === undefined ? '' : `${preposition} ${duration(time)}`}
      {pull.kubelet?.agrees === false && (
        <span className={styles.disagrees} title={`Kubelet reports ${kubeletDuration(pull.kubelet)}`}>
          <Icon name="warning" size={12} />
        </span>
      )}
    </span>
  );
}

export function LayersDone({ pull }: { pull: PullStatus }) {
  if (pull.layerCount === undefined) return <Figure value={UNKNOWN} />;
  return <Figure value={`${pull.layersDone ?? UNKNOWN}`} unit={`/ ${pull.layerCount}`} />;
}

/** The waiting pods, and below them notes. */
export function Waiting({ pull }: { pull: PullStatus }) {
  const hasPods = (pull.pods?.length ?? 0) + (pull.candidates?.length ?? 0) > 0;
  const hasNote = hasNotes(pull);
  return (
    <span className={styles.lines}>
      {(hasPods || !hasNote) && (
        <span className={styles.line}>
          {hasPods ? <Pods pull={pull} /> : <span className={styles.quiet}>{UNKNOWN}</span>}
        </span>
      )}
      {hasNote && (
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
