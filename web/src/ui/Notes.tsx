// One-line notes on a pull: failure and advice, waits, problems.

import type { PullStatus, WaitingOn } from '../api/gen/wire';
import { usePullName, useRow } from '../live/hooks';
import { parseInstant, percent, timeLeft } from '../model/format';
import { shortName } from '../model/image';
import { attemptText, failureText, isFresh, isLive, pullNotes, waitingText } from '../model/pull';
import { escapeHidden } from '../model/text';
import { NoteText, RetryCountdown } from './Ago';
import { Icon, type IconName } from './Icon';
import styles from './Notes.module.css';

const ICONS: Record<string, IconName> = {
  unseen: 'unknown',
  stalled: 'warning',
  slow: 'slow',
  waiting: 'waiting',
};

/** Reports whether `Notes` would render anything. */
export function hasNotes(pull: PullStatus): boolean {
  return (
    attemptText(pull) !== undefined ||
    pull.failure?.nextRetryAt !== undefined ||
    (isLive(pull) && (pull.waitingOn !== undefined || pullNotes(pull).length > 0))
  );
}

/** The waits and problems of a live pull, and its attempt number. */
export function Notes({ pull }: { pull: PullStatus }) {
  const blockingPull = usePullName(pull.waitingOn?.pull);
  const queue =
    isLive(pull) && isFresh(pull) && pull.waitingOn?.kind === 'kubelet_queue' ? pull.waitingOn : undefined;
  const attempt = attemptText(pull);
  const retryAt = parseInstant(pull.failure?.nextRetryAt);
  return (
    <>
      {queue && <QueuePosition on={queue} />}
      {pullNotes(pull, blockingPull).map((note) => (
        <span key={note.kind} className={`${styles.note} ${styles[note.kind]}`} data-note={note.kind}>
          <Icon name={ICONS[note.kind] ?? 'unknown'} size={12} />
          <span>
            <NoteText note={note} />
          </span>
        </span>
      ))}
      {attempt && (
        <span className={styles.note} data-field="attempt">
          {attempt}
        </span>
      )}
      {retryAt !== undefined && (
        <span className={styles.note} data-field="retry">
          <RetryCountdown at={retryAt} />
        </span>
      )}
    </>
  );
}

/** Why the pull failed. */
export function FailureReason({ pull }: { pull: PullStatus }) {
  const reason = failureText(pull);
  return (
    <span className={styles.why} data-field="reason">
      {reason === undefined ? 'No reason given' : escapeHidden(reason)}
    </span>
  );
}

/** Advice for the failure. */
export function Hint({ pull }: { pull: PullStatus }) {
  const hint = pull.failure?.hint;
  if (!hint) return null;
  return (
    <span className={styles.note}>
      <Icon name="hint" size={12} />
      <span data-field="hint">{escapeHidden(hint)}</span>
    </span>
  );
}

/** `queued behind app:1 (61 %, ~40 s left), 3 ahead` */
function QueuePosition({ on }: { on: WaitingOn }) {
  const first = useRow(on.pull ?? '');
  const eta = first?.etaSeconds ?? on.etaSeconds;
  const facts = [
    first?.percent === undefined ? '' : percent(first.percent),
    eta === undefined ? '' : `${timeLeft(eta)} left`,
  ].filter(Boolean);
  return (
    <span className={styles.note} data-note="queued">
      <Icon name="queued" size={12} />
      <span>
        {escapeHidden(waitingText(on, first && shortName(first)))}
        {facts.length > 0 && ` (${facts.join(', ')})`}
        {on.ahead !== undefined && on.ahead > 1 && `, ${on.ahead.toLocaleString('en')} ahead`}
      </span>
    </span>
  );
}
