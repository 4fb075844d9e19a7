// The images of a pod, each with its pull.

import type { PodImage, PodStatus, PullStatus } from '../../api/gen/wire';
import { useRow } from '../../live/hooks';
import { duration, parseInstant, percent, timeLeft, UNKNOWN } from '../../model/format';
import { parseReference } from '../../model/image';
import { containerLabel, imageStateLabel } from '../../model/pod';
import { attemptText, failureTitle, isFresh, isLive, pullDuration, pullNotes } from '../../model/pull';
import { escapeHidden } from '../../model/text';
import { href } from '../../route';
import { useFormat } from '../../settings';
import { NoteText, RetryCountdown } from '../../ui/Ago';
import { Bar } from '../../ui/Bar';
import { Icon, type IconName } from '../../ui/Icon';
import { barTone } from '../../ui/LayerStrip';
import { Panel } from '../../ui/Panel';
import { stages } from '../pull/Peers';
import styles from './Images.module.css';

interface Props {
  pod: PodStatus;
  pulls: readonly PullStatus[];
}

export function Images({ pod, pulls }: Props) {
  return (
    <Panel title="Images" summary={`${pod.images.length} · in pull order`}>
      <ol className={styles.images}>
        {pod.images.map((image, index) => (
          <Image
            key={`${image.kind} ${image.container}`}
            position={index + 1}
            image={image}
            polled={pulls.find(({ id }) => id === image.pull)}
          />
        ))}
      </ol>
    </Panel>
  );
}

const ICONS: Record<string, IconName> = {
  pending: 'none',
  queued: 'queued',
  pulling: 'downloading',
  failed: 'failed',
  present: 'completed',
};

interface ImageProps {
  position: number;
  image: PodImage;
  /** Its pull from the polled response. */
  polled: PullStatus | undefined;
}

function Image({ position, image, polled }: ImageProps) {
  const { bytes, speed } = useFormat();
  // The stream is newer than the polled response.
  const pull = useRow(image.pull ?? '') ?? polled;
  const { registry, name, version } = parseReference(escapeHidden(image.image));
  const live = pull !== undefined && isLive(pull);
  const hasCurrentData = live && isFresh(pull);
  const etaSeconds = hasCurrentData && pull.etaSeconds !== undefined ? pull.etaSeconds : image.etaSeconds;
  const isSizeKnown = live && pull.totalKnown;
  const isPresent = image.state === 'present';
  const pullSeconds = pull?.outcome === 'completed' ? pullDuration(pull) : undefined;
  const facts = [
    isPresent
      ? image.pull === undefined
        ? 'already on node'
        : pullSeconds === undefined
          ? ''
          : `pulled in ${duration(pullSeconds)}`
      : '',
    isSizeKnown ? `${bytes(pull.downloadedBytes)} of ${bytes(pull.toDownloadBytes)}` : '',
    hasCurrentData && pull.bytesPerSec !== undefined && pull.phase === 'downloading'
      ? speed(pull.bytesPerSec)
      : '',
    isPresent ? '' : (image.waitingReason ?? ''),
    attemptText(image) ?? '',
  ].filter(Boolean);
  return (
    <li className={styles.image} data-image={image.container} data-kind={image.kind} data-state={image.state}>
      <span className={styles.place}>{position}</span>
      <div className={styles.what}>
        <span className={styles.name} title={image.image}>
          <b>{name || image.image}</b>
          {version && <code>{version}</code>}
        </span>
        <span className={styles.under} title={`${containerLabel(image)} · ${registry}`}>
          {containerLabel(image)}
          {registry && <span className={styles.registry}> · {registry}</span>}
        </span>
      </div>
      <span className={styles.state} data-field="state">
        <Icon name={ICONS[image.state] ?? 'unknown'} />
        {image.state === 'pulling' && pull?.phase === 'extracting'
          ? 'Extracting'
          : imageStateLabel(image.state)}
      </span>
      <div className={styles.progress}>
        {!isPresent && pull !== undefined && (
          <>
            <Bar
              {...stages(pull)}
              tone={barTone(pull)}
              label={`Pull of ${name}`}
              valueText={[percent(pull.percent), ...facts].join(', ')}
              percent={pull.percent}
            />
            <span className={styles.percent} data-field="percent">
              {live ? percent(pull.percent) : ''}
            </span>
          </>
        )}
        {facts.length > 0 && <span className={styles.facts}>{facts.join(' · ')}</span>}
      </div>
      <span className={styles.eta} data-field="eta">
        {isPresent || image.state === 'failed'
          ? ''
          : etaSeconds === undefined
            ? UNKNOWN
            : timeLeft(etaSeconds)}
      </span>
      <span className={styles.link}>
        {image.pull !== undefined && (
          <a href={href('pulls', [image.pull])}>
            Pull<span className="hidden"> of {name}</span>
          </a>
        )}
      </span>
      {live && !isPresent && <WaitNotes pull={pull} />}
      {image.failure && !isPresent && <FailureNotes image={image} />}
    </li>
  );
}

function WaitNotes({ pull }: { pull: PullStatus }) {
  const on = pull.waitingOn;
  const first = useRow(on?.kind === 'kubelet_queue' ? (on.pull ?? '') : '');
  const ahead = on?.kind === 'kubelet_queue' ? (on.ahead ?? 0) : 0;
  return (
    <div className={styles.notes}>
      {pullNotes(pull).map((note) => (
        <p key={note.kind} className={note.kind === 'waiting' ? '' : styles.warn}>
          <Icon name={note.kind === 'waiting' ? 'waiting' : 'warning'} size={13} />
          <span>
            <NoteText note={note} />
          </span>
        </p>
      ))}
      {on?.kind === 'kubelet_queue' && on.pull !== undefined && (
        <p>
          <Icon name="queued" size={13} />
          <span>
            queued behind{' '}
            <a href={href('pulls', [on.pull])}>{escapeHidden(first?.imageRef ?? 'another pull')}</a>
            {ahead > 1 && `, ${ahead.toLocaleString('en')} ahead`}
          </span>
        </p>
      )}
    </div>
  );
}

function FailureNotes({ image }: { image: PodImage }) {
  const failure = image.failure;
  if (failure === undefined) return null;
  const next = parseInstant(failure.nextRetryAt);
  return (
    <div className={styles.notes}>
      <p className={image.state === 'failed' ? styles.bad : ''}>
        <Icon name="failed" size={13} />
        <span>
          {image.state === 'failed' ? '' : 'previous attempt: '}
          <span data-field="reason">{failureTitle({ failure })}</span>
          {next !== undefined && image.state === 'failed' && (
            <span className={styles.retry} data-field="retry">
              {' · '}
              <RetryCountdown at={next} />
            </span>
          )}
        </span>
      </p>
      {failure.hint && (
        <p>
          <Icon name="hint" size={13} />
          <span data-field="hint">{escapeHidden(failure.hint)}</span>
        </p>
      )}
      {failure.message && <pre>{escapeHidden(failure.message)}</pre>}
    </div>
  );
}
