// What there is to say of a pull below its numbers: why it failed and what to do, what it waits for, what is wrong.

import type { PullStatus, WaitingOn } from '../api/gen/wire';
import { useNameOf, useRow } from '../live/hooks';
import { left, percent } from '../model/format';
import { shortName } from '../model/image';
import { isLive, isSeen, notes, reason, waiting } from '../model/pull';
import { NoteText } from './Ago';
import { Icon, type IconName } from './Icon';
import styles from './Notes.module.css';

/** Where on the page a pull stands. */
export const anchor = (id: string): string => `pull-${id}`;

const ICONS: Record<string, IconName> = {
  unseen: 'unknown',
  stalled: 'warning',
  slow: 'slow',
  waiting: 'waiting',
};

export function Notes({ pull }: { pull: PullStatus }) {
  const other = useNameOf(pull.waitingOn?.pull);
  const live = isLive(pull);
  const queue = live && isSeen(pull) && pull.waitingOn?.kind === 'kubelet_queue' ? pull.waitingOn : undefined;
  return (
    <>
      {!live && <Failure pull={pull} />}
      {queue && <Queue on={queue} />}
      {notes(pull, other).map((note) => (
        <p key={note.kind} className={`${styles.note} ${styles[note.kind]}`} data-field="note">
          <Icon name={ICONS[note.kind] ?? 'unknown'} size={13} />
          <span>
            <NoteText note={note} />
          </span>
        </p>
      ))}
    </>
  );
}

function Failure({ pull }: { pull: PullStatus }) {
  const why = reason(pull);
  const hint = pull.failure?.hint;
  return (
    <>
      {why && (
        <p className={`${styles.note} ${styles.why}`} data-field="reason">
          {why}
        </p>
      )}
      {hint && (
        <p className={styles.note}>
          <Icon name="hint" size={13} />
          <span data-field="hint">{hint}</span>
        </p>
      )}
    </>
  );
}

/** `queued behind registry.example/app:1 (61 %, ~40 s left), 3 before it` */
function Queue({ on }: { on: WaitingOn }) {
  const first = useRow(on.pull ?? '');
  const name = first && (first.imageRef ?? shortName(first));
  const eta = first?.etaSeconds ?? on.etaSeconds;
  const facts = [
    first?.percent === undefined ? '' : percent(first.percent),
    eta === undefined ? '' : `${left(eta)} left`,
  ].filter(Boolean);
  return (
    <p className={styles.note} data-field="note">
      <Icon name="queued" size={13} />
      <span>
        {name === undefined ? (
          waiting(on)
        ) : (
          <>
            queued behind{' '}
            <a className={styles.other} href={`#${encodeURIComponent(anchor(on.pull ?? ''))}`}>
              {name}
            </a>
          </>
        )}
        {facts.length > 0 && ` (${facts.join(', ')})`}
        {on.ahead !== undefined && on.ahead > 1 && `, ${on.ahead.toLocaleString('en')} before it`}
      </span>
    </p>
  );
}
