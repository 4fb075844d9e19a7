// Whether the page is live, how old its data is, and what to do where it is not.

import { useEffect, useState } from 'react';
import { useConnection, useLive, useNow } from '../live/hooks';
import type { Loss } from '../live/stream';
import { seconds } from '../model/format';
import styles from './Connection.module.css';
import { Icon } from './Icon';
import { TokenForm } from './TokenForm';

/** So long a cut is nobody's business: most are over before. */
export const QUIET_MS = 1_500;

/** What happened, and what helps. */
export function explain(loss: Loss): string {
  const said = 'detail' in loss && loss.detail ? ` It says: ${loss.detail.replace(/\.?$/, '.')}` : '';
  switch (loss.kind) {
    case 'unauthorized':
      return 'The server asks for a token (401).';
    case 'forbidden':
      return `You may not see the pulls of this cluster (403).${said}`;
    case 'not_found':
      return `The server does not have it (404).${said}`;
    case 'unavailable':
      return `The server cannot serve the page now (${loss.status}).${said}`;
    case 'refused':
      return `The server answered ${loss.status}, which this page does not understand.${said}`;
    case 'unreachable':
      return 'The server cannot be reached.';
    case 'silent':
      return 'The server has gone silent.';
    case 'ended':
      return 'The server closed the connection.';
    case 'broken':
      return 'The connection broke.';
  }
}

/** Whether the connection is lost, and for longer than most are. */
export function useCut(): boolean {
  const connection = useConnection();
  const since = connection.state === 'lost' ? connection.since : undefined;
  const [cut, setCut] = useState<number>();
  useEffect(() => {
    if (since === undefined) return;
    const timer = setTimeout(() => setCut(since), Math.max(0, since + QUIET_MS - Date.now()));
    return () => clearTimeout(timer);
  }, [since]);
  return since !== undefined && cut === since;
}

function useAge(): number | undefined {
  const { stream } = useLive();
  useNow();
  const at = stream.heardAt();
  return at === undefined ? undefined : Math.max(0, Date.now() - at) / 1000;
}

/** In the top bar, always. */
export function ConnectionState() {
  const connection = useConnection();
  const words = {
    connecting: 'Connecting',
    live: 'Live',
    lost: 'Reconnecting',
    resting: 'Resting',
  }[connection.state];
  return (
    <span
      className={`${styles.state} ${styles[connection.state]}`}
      data-connection={connection.state}
      data-loss={connection.state === 'lost' ? connection.loss.kind : undefined}
    >
      <i className={styles.dot} />
      {words}
      {connection.state === 'lost' && <Age />}
    </span>
  );
}

/** Of what is shown, where that is not of now. */
function Age() {
  const age = useAge();
  return age === undefined ? null : <span className={styles.age}>· data {seconds(age)} old</span>;
}

/** Under the top bar, where figures are not of now. */
export function ConnectionBanner() {
  const connection = useConnection();
  const { stream } = useLive();
  const cut = useCut();
  if (connection.state !== 'lost') return null;
  if (connection.loss.kind === 'unauthorized') {
    return (
      <section className={styles.banner} aria-label="Connection">
        <Icon name="warning" size={15} />
        <TokenForm words={explain(connection.loss)} />
      </section>
    );
  }
  if (!cut) return null;
  return (
    <section className={styles.banner} aria-label="Connection">
      <Icon name="warning" size={15} />
      <span>
        {explain(connection.loss)} <Stopped retryAt={connection.retryAt} />
      </span>
      <button type="button" onClick={stream.start}>
        Try now
      </button>
    </section>
  );
}

/** How old the figures are, and when it is tried again: drawn each second. */
function Stopped({ retryAt }: { retryAt: number }) {
  const age = useAge();
  const wait = Math.ceil((retryAt - Date.now()) / 1000);
  return (
    <>
      {age !== undefined && `The figures below stopped ${seconds(age)} ago. `}
      {wait > 0 ? `Next try in ${wait} s.` : 'Trying now.'}
    </>
  );
}
