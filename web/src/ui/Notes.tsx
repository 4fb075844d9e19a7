// What there is to say of a pull beside its numbers, each in one line: why it failed and what to do, what it waits
// for, what is wrong.

import type { PullStatus, WaitingOn } from '../api/gen/wire';
import { useNameOf, useRow } from '../live/hooks';
import { instant, left, percent } from '../model/format';
import { shortName } from '../model/image';
import { attempt, isLive, isSeen, notes, reason, waiting } from '../model/pull';
import { visible } from '../model/text';
import { NoteText, Retry } from './Ago';
import { Icon, type IconName } from './Icon';
import styles from './Notes.module.css';

const ICONS: Record<string, IconName> = {
  unseen: 'unknown',
  stalled: 'warning',
  slow: 'slow',
  waiting: 'waiting',
};

/** Whether there is anything that `Notes` says. */
export function hasNotes(pull: PullStatus): boolean {
  return (
    attempt(pull) !== undefined ||
    pull.failure?.nextRetryAt !== undefined ||
    (isLive(pull) && (pull.waitingOn !== undefined || notes(pull).length > 0))
  );
}

/** What a live pull waits for or suffers from, and which try it is. */
export function Notes({ pull }: { pull: PullStatus }) {
  const other = useNameOf(pull.waitingOn?.pull);
  const queue =
    isLive(pull) && isSeen(pull) && pull.waitingOn?.kind === 'kubelet_queue' ? pull.waitingOn : undefined;
  const tried = attempt(pull);
  const again = instant(pull.failure?.nextRetryAt);
  return (
    <>
      {queue && <Queue on={queue} />}
      {notes(pull, other).map((note) => (
        <span key={note.kind} className={`${styles.note} ${styles[note.kind]}`} data-field="note">
          <Icon name={ICONS[note.kind] ?? 'unknown'} size={12} />
          <span>
            <NoteText note={note} />
          </span>
        </span>
      ))}
      {tried && (
        <span className={styles.note} data-field="attempt">
          {tried}
        </span>
      )}
      {again !== undefined && (
        <span className={styles.note} data-field="retry">
          <Retry at={again} />
        </span>
      )}
    </>
  );
}

/** Why it failed. */
export function Why({ pull }: { pull: PullStatus }) {
  const why = reason(pull);
  return (
    <span className={styles.why} data-field="reason">
      {why === undefined ? 'the runtime does not say why' : visible(why)}
    </span>
  );
}

/** What a person does next about that. */
export function Hint({ pull }: { pull: PullStatus }) {
  const hint = pull.failure?.hint;
  if (!hint) return null;
  return (
    <span className={styles.note}>
      <Icon name="hint" size={12} />
      <span data-field="hint">{visible(hint)}</span>
    </span>
  );
}

/** `queued behind app:1 (61 %, ~40 s left), 3 before it` */
function Queue({ on }: { on: WaitingOn }) {
  const first = useRow(on.pull ?? '');
  const eta = first?.etaSeconds ?? on.etaSeconds;
  const facts = [
    first?.percent === undefined ? '' : percent(first.percent),
    eta === undefined ? '' : `${left(eta)} left`,
  ].filter(Boolean);
  return (
    <span className={styles.note} data-field="note">
      <Icon name="queued" size={12} />
      <span>
        {visible(waiting(on, first && shortName(first)))}
        {facts.length > 0 && ` (${facts.join(', ')})`}
        {on.ahead !== undefined && on.ahead > 1 && `, ${on.ahead.toLocaleString('en')} before it`}
      </span>
    </span>
  );
}
