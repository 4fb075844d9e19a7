// The connection to the server: its state, the age of the data, and advice if it is lost.

import { useEffect, useState } from 'react';
import { useConnection, useLive, useNow } from '../live/hooks';
import type { DisconnectReason } from '../live/stream';
import { seconds } from '../model/format';
import styles from './Connection.module.css';
import { Icon } from './Icon';
import { TokenForm } from './TokenForm';

/** Shorter interruptions are not reported: most end sooner. */
export const GRACE_MS = 1_500;

/** Describes why the connection is lost, for users. */
export function describeDisconnect(reason: DisconnectReason): string {
  const serverMessage =
    'detail' in reason && reason.detail ? ` Details: ${reason.detail.replace(/\.?$/, '.')}` : '';
  switch (reason.kind) {
    case 'unauthorized':
      return 'Access token required (401).';
    case 'forbidden':
      return `Access to this cluster denied (403).${serverMessage}`;
    case 'not_found':
      return `Not found on the server (404).${serverMessage}`;
    case 'unavailable':
      return `Server unavailable (${reason.status}).${serverMessage}`;
    case 'refused':
      return `Unexpected server response (${reason.status}).${serverMessage}`;
    case 'unreachable':
      return 'Server unreachable.';
    case 'silent':
      return 'No data from the server.';
    case 'ended':
      return 'The server closed the connection.';
    case 'broken':
      return 'Connection lost.';
  }
}

/** Reports whether the connection has been lost for longer than `GRACE_MS`. */
export function useIsDisconnected(): boolean {
  const connection = useConnection();
  const since = connection.state === 'lost' ? connection.since : undefined;
  const [reportedSince, setReportedSince] = useState<number>();
  useEffect(() => {
    if (since === undefined) return;
    const timer = setTimeout(() => setReportedSince(since), Math.max(0, since + GRACE_MS - Date.now()));
    return () => clearTimeout(timer);
  }, [since]);
  return since !== undefined && reportedSince === since;
}

function useDataAge(): number | undefined {
  const { stream } = useLive();
  useNow();
  const at = stream.lastReceivedAt();
  return at === undefined ? undefined : Math.max(0, Date.now() - at) / 1000;
}

/** The indicator in the top bar. */
export function ConnectionState() {
  const connection = useConnection();
  const label = {
    connecting: 'Connecting',
    live: 'Live',
    lost: 'Reconnecting',
    resting: 'Suspended',
  }[connection.state];
  return (
    <span
      className={`${styles.state} ${styles[connection.state]}`}
      data-connection={connection.state}
      data-loss={connection.state === 'lost' ? connection.reason.kind : undefined}
    >
      <i className={styles.dot} />
      {label}
      {connection.state === 'lost' && <DataAge />}
    </span>
  );
}

/** Age of the data while disconnected. */
function DataAge() {
  const age = useDataAge();
  return age === undefined ? null : <span className={styles.age}>· data {seconds(age)} old</span>;
}

/** A banner under the top bar while disconnected. */
export function ConnectionBanner() {
  const connection = useConnection();
  const { stream } = useLive();
  const isDisconnected = useIsDisconnected();
  if (connection.state !== 'lost') return null;
  if (connection.reason.kind === 'unauthorized') {
    return (
      <section className={styles.banner} aria-label="Connection">
        <Icon name="warning" size={15} />
        <TokenForm prompt={describeDisconnect(connection.reason)} />
      </section>
    );
  }
  if (!isDisconnected) return null;
  return (
    <section className={styles.banner} aria-label="Connection">
      <Icon name="warning" size={15} />
      <span>
        {describeDisconnect(connection.reason)} <RetryStatus retryAt={connection.retryAt} />
      </span>
      <button type="button" onClick={stream.start}>
        Retry now
      </button>
    </section>
  );
}

/**
 * Age of the data and time of the next attempt. A component of its own, since it renders every
 * second.
 */
function RetryStatus({ retryAt }: { retryAt: number }) {
  const age = useDataAge();
  const wait = Math.ceil((retryAt - Date.now()) / 1000);
  return (
    <>
      {age !== undefined && `Data is ${seconds(age)} old. `}
      {wait > 0 ? `Retrying in ${wait} s.` : 'Retrying.'}
    </>
  );
}
