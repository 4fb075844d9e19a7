// What a screen reader is told unasked: a lost or regained connection, and new failures. Politely, and not too often.

import { useEffect, useRef, useState } from 'react';
import { useConnection, useLastFailed } from '../live/hooks';
import { shortName } from '../model/image';
import { reason } from '../model/pull';
import { explain, QUIET_MS } from './Connection';

const BETWEEN_MS = 10_000;

export function Announcer() {
  const connection = useConnection();
  const failed = useLastFailed();
  const [text, setText] = useState('');
  const spokenAt = useRef(Number.NEGATIVE_INFINITY);
  const saidLost = useRef(false);

  useEffect(() => {
    if (connection.state === 'live' && saidLost.current) {
      saidLost.current = false;
      setText('The page is live again.');
    }
    if (connection.state !== 'lost' || saidLost.current) return;
    const { loss, since } = connection;
    const timer = setTimeout(
      () => {
        saidLost.current = true;
        setText(`${explain(loss)} Trying again.`);
      },
      Math.max(0, since + QUIET_MS - Date.now()),
    );
    return () => clearTimeout(timer);
  }, [connection]);

  useEffect(() => {
    if (!failed) return;
    const wait = Math.max(0, spokenAt.current + BETWEEN_MS - performance.now());
    const timer = setTimeout(() => {
      spokenAt.current = performance.now();
      setText(
        `The pull of ${shortName(failed)} on ${failed.nodeName} failed: ${reason(failed) ?? 'nobody says why'}.`,
      );
    }, wait);
    return () => clearTimeout(timer);
  }, [failed]);

  return (
    <p className="hidden" role="status" aria-live="polite" data-field="announcement">
      {text}
    </p>
  );
}
