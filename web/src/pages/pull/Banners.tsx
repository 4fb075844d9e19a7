// Blockers of a live pull; the failure of an ended one, with the original message.

import type { ReactNode } from 'react';
import type { PullStatus, WaitingOn } from '../../api/gen/wire';
import { usePullName, useRow } from '../../live/hooks';
import { parseInstant, percent, timeLeft } from '../../model/format';
import { shortName } from '../../model/image';
import { attemptText, failureTitle, isFresh, isLive, pullNotes } from '../../model/pull';
import { escapeHidden } from '../../model/text';
import { href } from '../../route';
import { Ago, NoteText, RetryCountdown } from '../../ui/Ago';
import { Copy } from '../../ui/Copy';
import { Icon, type IconName } from '../../ui/Icon';
import { Panel } from '../../ui/Panel';
import styles from './Banners.module.css';

function Banner({
  icon,
  tone,
  kind,
  children,
}: {
  icon: IconName;
  tone: string;
  kind: string;
  children: ReactNode;
}) {
  return (
    <p className={`${styles.banner} ${styles[tone] ?? ''}`} data-note={kind}>
      <Icon name={icon} size={16} />
      <span>{children}</span>
    </p>
  );
}

export function GoneBanner({ pull }: { pull: PullStatus }) {
  return (
    <Banner icon="unknown" tone="warn" kind="gone">
      No longer on the server. Showing its {isLive(pull) ? 'last known state' : 'final state'}.
    </Banner>
  );
}

const ICONS: Record<string, IconName> = {
  unseen: 'silent',
  stalled: 'warning',
  slow: 'slow',
  waiting: 'waiting',
};

export function PullBanners({
  pull,
  previousFailure,
}: {
  pull: PullStatus;
  previousFailure: PullStatus | undefined;
}) {
  const on = pull.waitingOn;
  const blockingPull = usePullName(on?.pull);
  const activeWait = isLive(pull) && isFresh(pull) ? on : undefined;
  const notes = pullNotes(pull, blockingPull).filter(
    ({ kind }) => kind !== 'waiting' || on?.pull === undefined,
  );
  const failed = previousFailure && isLive(pull) ? previousFailure : undefined;
  if (activeWait === undefined && notes.length === 0 && failed === undefined) return null;
  return (
    <div className={styles.notes}>
      {notes.map((note) => (
        <Banner
          key={note.kind}
          icon={ICONS[note.kind] ?? 'unknown'}
          tone={note.kind === 'waiting' ? '' : 'warn'}
          kind={note.kind}
        >
          <NoteText note={note} />
        </Banner>
      ))}
      {activeWait && (activeWait.kind === 'kubelet_queue' || activeWait.pull !== undefined) && (
        <BlockedBy on={activeWait} />
      )}
      {failed && (
        <Banner icon="failed" tone="bad" kind="previous-failure">
          Previous attempt failed <Ago at={failed.completedAt} />:{' '}
          {escapeHidden(failureTitle(failed) ?? failed.error ?? 'No reason given')}
        </Banner>
      )}
    </div>
  );
}

/** The pull that must finish first, with its progress. */
function BlockedBy({ on }: { on: WaitingOn }) {
  const first = useRow(on.pull ?? '');
  const name = first && escapeHidden(shortName(first));
  const queue = on.kind === 'kubelet_queue';
  // In a queue, `on.etaSeconds` is the start of this pull, which is shown among its figures.
  const eta = first?.etaSeconds ?? (queue ? undefined : on.etaSeconds);
  const facts = [
    first?.percent === undefined ? '' : percent(first.percent),
    eta === undefined ? '' : `${timeLeft(eta)} left`,
  ].filter(Boolean);
  const prefix = queue ? 'Queued by the kubelet behind' : 'Waiting for a layer of';
  return (
    <Banner icon={queue ? 'queued' : 'waiting'} tone="" kind={queue ? 'queued' : 'waiting'}>
      {on.pull === undefined ? (
        'Queued by the kubelet'
      ) : (
        <>
          {prefix} <a href={href('pulls', [on.pull])}>{name ?? 'another pull'}</a>
        </>
      )}
      {facts.length > 0 && ` (${facts.join(', ')})`}
      {on.ahead !== undefined && on.ahead > 1 && `, ${on.ahead.toLocaleString('en')} ahead`}
    </Banner>
  );
}

export function FailurePanel({ pull }: { pull: PullStatus }) {
  if (isLive(pull) || (pull.failure === undefined && pull.error === undefined)) return null;
  const title = failureTitle(pull);
  const message = pull.failure?.message ?? (pull.error === title ? undefined : pull.error);
  const text = message === undefined ? undefined : escapeHidden(message);
  const next = parseInstant(pull.failure?.nextRetryAt);
  const attempt = attemptText(pull);
  return (
    <Panel title="Failure" summary={<Ago at={pull.completedAt} />} className={styles.failure}>
      <div className={styles.body}>
        <p className={styles.why} data-field="reason">
          <Icon name="failed" size={16} />
          <span>{title === undefined ? 'No reason given' : escapeHidden(title)}</span>
        </p>
        {pull.failure?.hint && (
          <p className={styles.hint}>
            <Icon name="hint" size={15} />
            <span data-field="hint">{escapeHidden(pull.failure.hint)}</span>
          </p>
        )}
        {(next !== undefined || attempt !== undefined) && (
          <p className={styles.next}>
            <Icon name="waiting" size={15} />
            <span>
              {attempt ?? '1st attempt'}
              {next !== undefined && (
                <>
                  , <RetryCountdown at={next} />
                </>
              )}
            </span>
          </p>
        )}
        {text !== undefined && message !== undefined && (
          <div className={styles.said}>
            <p>
              Original message
              <Copy text={message} label="Copy error" />
            </p>
            {/* biome-ignore lint/a11y/noNoninteractiveTabindex: keyboard users must be able to scroll it. */}
            <section className={styles.words} tabIndex={0} aria-label="Original message">
              <pre data-field="said">{text}</pre>
            </section>
          </div>
        )}
      </div>
    </Panel>
  );
}
