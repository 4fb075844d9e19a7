// The images of a pod, each with its pull as the stream tells it.

import type { PodImage, PodStatus, PullStatus } from '../../api/gen/wire';
import { useRow } from '../../live/hooks';
import { duration, instant, left, NONE, percent } from '../../model/format';
import { parts } from '../../model/image';
import { slot, stateWord } from '../../model/pod';
import { attempt, isLive, isSeen, notes, took, why } from '../../model/pull';
import { visible } from '../../model/text';
import { href } from '../../route';
import { useFormat } from '../../settings';
import { NoteText, Retry } from '../../ui/Ago';
import { Bar } from '../../ui/Bar';
import { Icon, type IconName } from '../../ui/Icon';
import { toneOf } from '../../ui/LayerStrip';
import { Panel } from '../../ui/Panel';
import { stages } from '../pull/Peers';
import styles from './Images.module.css';

interface Props {
  pod: PodStatus;
  pulls: readonly PullStatus[];
}

export function Images({ pod, pulls }: Props) {
  return (
    <Panel title="Images" more={`${pod.images.length} in the order of the kubelet`}>
      <ol className={styles.images}>
        {pod.images.map((image, index) => (
          <Image
            key={`${image.kind} ${image.container}`}
            place={index + 1}
            image={image}
            told={pulls.find(({ id }) => id === image.pull)}
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
  place: number;
  image: PodImage;
  /** Its pull as the pod's answer has it. */
  told: PullStatus | undefined;
}

function Image({ place, image, told }: ImageProps) {
  const { bytes, speed } = useFormat();
  // The stream is newer than an answer.
  const pull = useRow(image.pull ?? '') ?? told;
  const { registry, name, version } = parts(visible(image.image));
  const live = pull !== undefined && isLive(pull);
  const seen = live && isSeen(pull);
  const eta = seen && pull.etaSeconds !== undefined ? pull.etaSeconds : image.etaSeconds;
  const known = live && pull.totalKnown;
  const there = image.state === 'present';
  const time = pull?.outcome === 'completed' ? took(pull) : undefined;
  const facts = [
    there
      ? image.pull === undefined
        ? 'was on the node'
        : time === undefined
          ? ''
          : `in ${duration(time)}`
      : '',
    known ? `${bytes(pull.downloadedBytes)} of ${bytes(pull.toDownloadBytes)}` : '',
    seen && pull.bytesPerSec !== undefined && pull.phase === 'downloading' ? speed(pull.bytesPerSec) : '',
    there ? '' : (image.waitingReason ?? ''),
    attempt(image) ?? '',
  ].filter(Boolean);
  return (
    <li className={styles.image} data-image={image.container} data-state={image.state}>
      <span className={styles.place}>{place}</span>
      <div className={styles.what}>
        <span className={styles.name} title={image.image}>
          <b>{name || image.image}</b>
          {version && <code>{version}</code>}
        </span>
        <span className={styles.under} title={`${slot(image)} · ${registry}`}>
          {slot(image)}
          {registry && <span className={styles.registry}> · {registry}</span>}
        </span>
      </div>
      <span className={styles.state} data-field="state">
        <Icon name={ICONS[image.state] ?? 'unknown'} />
        {image.state === 'pulling' && pull?.phase === 'extracting' ? 'Extracting' : stateWord(image.state)}
      </span>
      <div className={styles.progress}>
        {!there && pull !== undefined && (
          <>
            <Bar
              {...stages(pull)}
              tone={toneOf(pull)}
              label={`Pull of ${name}`}
              text={[percent(pull.percent), ...facts].join(', ')}
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
        {there || image.state === 'failed' ? '' : eta === undefined ? NONE : left(eta)}
      </span>
      <span className={styles.link}>
        {image.pull !== undefined && (
          <a href={href('pulls', [image.pull])}>
            Pull<span className="hidden"> of {name}</span>
          </a>
        )}
      </span>
      {live && !there && <Noted pull={pull} />}
      {image.failure && !there && <Failed image={image} />}
    </li>
  );
}

function Noted({ pull }: { pull: PullStatus }) {
  const on = pull.waitingOn;
  const first = useRow(on?.kind === 'kubelet_queue' ? (on.pull ?? '') : '');
  const ahead = on?.kind === 'kubelet_queue' ? (on.ahead ?? 0) : 0;
  return (
    <div className={styles.notes}>
      {notes(pull).map((note) => (
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
            queued behind <a href={href('pulls', [on.pull])}>{visible(first?.imageRef ?? 'another pull')}</a>
            {ahead > 1 && `, ${ahead.toLocaleString('en')} before it`}
          </span>
        </p>
      )}
    </div>
  );
}

function Failed({ image }: { image: PodImage }) {
  const failure = image.failure;
  if (failure === undefined) return null;
  const next = instant(failure.nextRetryAt);
  return (
    <div className={styles.notes}>
      <p className={image.state === 'failed' ? styles.bad : ''}>
        <Icon name="failed" size={13} />
        <span>
          {image.state === 'failed' ? '' : 'the try before: '}
          <span data-field="reason">{why({ failure })}</span>
          {next !== undefined && image.state === 'failed' && (
            <span className={styles.retry} data-field="retry">
              {' · '}
              <Retry at={next} />
            </span>
          )}
        </span>
      </p>
      {failure.hint && (
        <p>
          <Icon name="hint" size={13} />
          <span data-field="hint">{visible(failure.hint)}</span>
        </p>
      )}
      {failure.message && <pre>{visible(failure.message)}</pre>}
    </div>
  );
}
