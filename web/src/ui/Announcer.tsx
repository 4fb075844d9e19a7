// What a screen reader is told unasked: a lost or regained connection, and new failures. Politely, and not too often.

import { useEffect, useRef, useState } from 'react';
import { useConnection, useLastFailed } from '../live/hooks';
import { shortName } from '../model/image';
import { reason } from '../model/pull';
import { explain } from './Connection';

const BETWEEN_MS = 10_000;

export function Announcer() {
  const connection = useConnection();
  const failed = useLastFailed();
  const [text, setText] = useState('');
  const spokenAt = useRef(Number.NEGATIVE_INFINITY);
  const wasLost = useRef(false);

  useEffect(() => {
    if (connection.state === 'lost' && !wasLost.current) {
      wasLost.current = true;
      setText(`${explain(connection.loss)} Trying again.`);
    } else if (connection.state === 'live' && wasLost.current) {
      wasLost.current = false;
      setText('The page is live again.');
    }
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
