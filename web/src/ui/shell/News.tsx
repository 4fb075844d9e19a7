// What has changed about the server while the page was open. The page never loads itself again: somebody may be reading.

import { useState } from 'react';
import type { ServerStatus } from '../../api/gen/wire';
import { instant } from '../../model/format';
import { useFormat } from '../../settings';
import { Icon } from '../Icon';
import button from './IconButton.module.css';
import styles from './News.module.css';

/** The first answers are what this page is of. */
interface First {
  page?: string | undefined;
  startedAt?: string | undefined;
}

/** One that is so young may not have heard of all agents, also where nobody saw it start. */
const YOUNG_MS = 60_000;

/** Instead of an earlier start: whether there was one is not known. */
const UNSEEN = '';

/** Whether it is known to be. */
function isYoung({ now, startedAt }: ServerStatus): boolean {
  const [at, began] = [instant(now), instant(startedAt)];
  return at !== undefined && began !== undefined && at - began < YOUNG_MS;
}

export function useFirst({ page, startedAt }: First): First {
  const [first, setFirst] = useState<First>({});
  const next = { page: first.page ?? page, startedAt: first.startedAt ?? startedAt };
  if (next.page !== first.page || next.startedAt !== first.startedAt) setFirst(next);
  return next;
}

export function News({ server }: { server: ServerStatus | undefined }) {
  const startedAt = server && (isYoung(server) ? UNSEEN : server.startedAt);
  const first = useFirst({ page: server?.page, startedAt });
  const { clock, zone } = useFormat();
  const [read, setRead] = useState<string>();
  if (server === undefined) return null;
  const updated = server.page !== undefined && server.page !== first.page;
  const restarted = server.startedAt !== first.startedAt && server.startedAt !== read;
  return (
    <>
      {updated && (
        <section className={styles.news} aria-label="Update">
          <Icon name="hint" size={15} />
          <span>pulltrace was updated: this page is older than its server.</span>
          <button type="button" className={styles.button} onClick={() => window.location.reload()}>
            Reload
          </button>
        </section>
      )}
      {restarted && (
        <section className={styles.news} aria-label="Restart">
          <Icon name="hint" size={15} />
          <span>
            {first.startedAt === UNSEEN ? 'The server has just started' : 'The server was started anew'}:
            history starts at{' '}
            <time dateTime={server.startedAt} title={server.startedAt}>
              {clock(instant(server.startedAt), false)} {zone}
            </time>
            .
          </span>
          <button
            type="button"
            className={button.button}
            aria-label="Close"
            onClick={() => setRead(server.startedAt)}
          >
            <Icon name="close" size={15} />
          </button>
        </section>
      )}
    </>
  );
}
