// Notices about server updates and restarts. The page never reloads by itself, since it may be in
// use.

import { useState } from 'react';
import type { ServerStatus } from '../../api/gen/wire';
import { parseInstant } from '../../model/format';
import { useFormat } from '../../settings';
import { Icon } from '../Icon';
import button from './IconButton.module.css';
import styles from './ServerNotices.module.css';

/** The first values received, which stand for the server that the page was loaded from. */
interface InitialServer {
  page?: string | undefined;
  startedAt?: string | undefined;
}

/**
 * Agents may take this long to report after a server start, so a page loaded within this time shows
 * the restart notice, too.
 */
const RECENT_START_MS = 60_000;

/** Stands for the start of the previous server; differs from every real start. */
const PREVIOUS_START = '';

/** Reports whether the server started recently; false if unknown. */
function startedRecently({ now, startedAt }: ServerStatus): boolean {
  const [nowMs, startMs] = [parseInstant(now), parseInstant(startedAt)];
  return nowMs !== undefined && startMs !== undefined && nowMs - startMs < RECENT_START_MS;
}

export function useInitialServer({ page, startedAt }: InitialServer): InitialServer {
  const [initial, setInitial] = useState<InitialServer>({});
  const next = { page: initial.page ?? page, startedAt: initial.startedAt ?? startedAt };
  if (next.page !== initial.page || next.startedAt !== initial.startedAt) setInitial(next);
  return next;
}

export function ServerNotices({ server }: { server: ServerStatus | undefined }) {
  const startedAt = server && (startedRecently(server) ? PREVIOUS_START : server.startedAt);
  const initial = useInitialServer({ page: server?.page, startedAt });
  const { clock, zone } = useFormat();
  const [dismissedStart, setDismissedStart] = useState<string>();
  if (server === undefined) return null;
  const updated = server.page !== undefined && server.page !== initial.page;
  const restarted = server.startedAt !== initial.startedAt && server.startedAt !== dismissedStart;
  return (
    <>
      {updated && (
        <section className={styles.news} aria-label="Update" data-message="update">
          <Icon name="hint" size={15} />
          <span>A newer version of this page is available.</span>
          <button type="button" className={styles.button} onClick={() => window.location.reload()}>
            Reload
          </button>
        </section>
      )}
      {restarted && (
        <section
          className={styles.news}
          aria-label="Restart"
          data-message={initial.startedAt === PREVIOUS_START ? 'started' : 'restarted'}
        >
          <Icon name="hint" size={15} />
          <span>
            {initial.startedAt === PREVIOUS_START ? 'The server has just started' : 'The server restarted'}:
            history starts at{' '}
            <time dateTime={server.startedAt} title={server.startedAt}>
              {clock(parseInstant(server.startedAt), false)} {zone}
            </time>
            .
          </span>
          <button
            type="button"
            className={button.button}
            aria-label="Close"
            onClick={() => setDismissedStart(server.startedAt)}
          >
            <Icon name="close" size={15} />
          </button>
        </section>
      )}
    </>
  );
}
