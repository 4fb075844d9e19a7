// What keeps a pull from getting on, and why it failed: in words, and word for word.

import type { ReactNode } from 'react';
import type { PullStatus, WaitingOn } from '../../api/gen/wire';
import { useNameOf, useRow } from '../../live/hooks';
import { instant, left, percent } from '../../model/format';
import { shortName } from '../../model/image';
import { attempt, isLive, isSeen, notes, why } from '../../model/pull';
import { visible } from '../../model/text';
import { href } from '../../route';
import { Ago, NoteText, Retry } from '../../ui/Ago';
import { Copy } from '../../ui/Copy';
import { Icon, type IconName } from '../../ui/Icon';
import { Panel } from '../../ui/Panel';
import styles from './Trouble.module.css';

function Banner({
  icon,
  tone,
  children,
  name,
}: {
  icon: IconName;
  tone: string;
  children: ReactNode;
  name?: string;
}) {
  return (
    <p className={`${styles.banner} ${styles[tone] ?? ''}`} data-field="note" data-message={name}>
      <Icon name={icon} size={16} />
      <span>{children}</span>
    </p>
  );
}

export function Gone({ pull }: { pull: PullStatus }) {
  return (
    <Banner icon="unknown" tone="warn" name="gone">
      The server keeps this pull no more. This is{' '}
      {isLive(pull) ? 'the last that was seen of it' : 'how it ended'}.
    </Banner>
  );
}

const ICONS: Record<string, IconName> = {
  unseen: 'silent',
  stalled: 'warning',
  slow: 'slow',
  waiting: 'waiting',
};

export function Notes({ pull, before }: { pull: PullStatus; before: PullStatus | undefined }) {
  const on = pull.waitingOn;
  const other = useNameOf(on?.pull);
  const waits = isLive(pull) && isSeen(pull) ? on : undefined;
  const found = notes(pull, other).filter(({ kind }) => kind !== 'waiting' || on?.pull === undefined);
  const failed = before && isLive(pull) ? before : undefined;
  if (waits === undefined && found.length === 0 && failed === undefined) return null;
  return (
    <div className={styles.notes}>
      {found.map((note) => (
        <Banner
          key={note.kind}
          icon={ICONS[note.kind] ?? 'unknown'}
          tone={note.kind === 'waiting' ? '' : 'warn'}
        >
          <NoteText note={note} />
        </Banner>
      ))}
      {waits && (waits.kind === 'kubelet_queue' || waits.pull !== undefined) && <WaitsFor on={waits} />}
      {failed && (
        <Banner icon="failed" tone="bad">
          The try before failed <Ago at={failed.completedAt} />:{' '}
          {visible(why(failed) ?? failed.error ?? 'nobody says why')}
        </Banner>
      )}
    </div>
  );
}

/** What must get on first, and how far that is. */
function WaitsFor({ on }: { on: WaitingOn }) {
  const first = useRow(on.pull ?? '');
  const name = first && visible(shortName(first));
  const queue = on.kind === 'kubelet_queue';
  // Of a queue it says when this pull begins, which stands among its figures.
  const eta = first?.etaSeconds ?? (queue ? undefined : on.etaSeconds);
  const facts = [
    first?.percent === undefined ? '' : percent(first.percent),
    eta === undefined ? '' : `${left(eta)} left`,
  ].filter(Boolean);
  const words = queue ? 'Queued by the kubelet behind' : 'A layer of it comes by';
  return (
    <Banner icon={queue ? 'queued' : 'waiting'} tone="">
      {on.pull === undefined ? (
        'Queued by the kubelet'
      ) : (
        <>
          {words} <a href={href('pulls', [on.pull])}>{name ?? 'another pull'}</a>
        </>
      )}
      {facts.length > 0 && ` (${facts.join(', ')})`}
      {on.ahead !== undefined && on.ahead > 1 && `, ${on.ahead.toLocaleString('en')} before it`}
    </Banner>
  );
}

export function Trouble({ pull }: { pull: PullStatus }) {
  if (isLive(pull) || (pull.failure === undefined && pull.error === undefined)) return null;
  const words = why(pull);
  const said = pull.failure?.message ?? (pull.error === words ? undefined : pull.error);
  const text = said === undefined ? undefined : visible(said);
  const next = instant(pull.failure?.nextRetryAt);
  const tried = attempt(pull);
  return (
    <Panel title="Why it failed" more={<Ago at={pull.completedAt} />} className={styles.failure}>
      <div className={styles.body}>
        <p className={styles.why} data-field="reason">
          <Icon name="failed" size={16} />
          <span>{words === undefined ? 'Nobody says why' : visible(words)}</span>
        </p>
        {pull.failure?.hint && (
          <p className={styles.hint}>
            <Icon name="hint" size={15} />
            <span data-field="hint">{visible(pull.failure.hint)}</span>
          </p>
        )}
        {(next !== undefined || tried !== undefined) && (
          <p className={styles.next}>
            <Icon name="waiting" size={15} />
            <span>
              {tried ?? 'first try'}
              {next !== undefined && (
                <>
                  , <Retry at={next} />
                </>
              )}
            </span>
          </p>
        )}
        {text !== undefined && said !== undefined && (
          <div className={styles.said}>
            <p>
              In the words of the runtime
              <Copy text={said} label="Copy the error" />
            </p>
            {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached by keys. */}
            <section className={styles.words} tabIndex={0} aria-label="The error, word for word">
              <pre data-field="said">{text}</pre>
            </section>
          </div>
        )}
      </div>
    </Panel>
  );
}
