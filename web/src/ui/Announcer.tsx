// Screen reader announcements (polite, rate limited): lost and restored connections, and new
// failures.

import { useCallback, useEffect, useRef, useState } from 'react';
import { useConnection, useLastFailed } from '../live/hooks';
import { shortName } from '../model/image';
import { failureText } from '../model/pull';
import { describeDisconnect, useIsDisconnected } from './Connection';

const MIN_INTERVAL_MS = 10_000;

type Topic = 'connection' | 'failure';

/** Announces the latest message of each topic. Messages within `MIN_INTERVAL_MS` are combined. */
function useAnnouncements(): [text: string, announce: (topic: Topic, message: string) => void] {
  const [text, setText] = useState('');
  const pending = useRef(new Map<Topic, string>());
  const announcedAt = useRef(Number.NEGATIVE_INFINITY);
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  useEffect(() => () => clearTimeout(timer.current), []);
  const announce = useCallback((topic: Topic, message: string) => {
    pending.current.set(topic, message);
    const delay = Math.max(0, announcedAt.current + MIN_INTERVAL_MS - performance.now());
    clearTimeout(timer.current);
    timer.current = setTimeout(() => {
      announcedAt.current = performance.now();
      setText([...pending.current.values()].join(' '));
      pending.current.clear();
    }, delay);
  }, []);
  return [text, announce];
}

export function Announcer() {
  const connection = useConnection();
  const isDisconnected = useIsDisconnected();
  const failed = useLastFailed();
  const [text, announce] = useAnnouncements();
  const announcedLoss = useRef(false);

  useEffect(() => {
    if (connection.state === 'live' && announcedLoss.current) {
      announcedLoss.current = false;
      announce('connection', 'Connection restored.');
    } else if (connection.state === 'lost' && isDisconnected && !announcedLoss.current) {
      announcedLoss.current = true;
      announce('connection', `${describeDisconnect(connection.reason)} Reconnecting.`);
    }
  }, [connection, isDisconnected, announce]);

  useEffect(() => {
    if (!failed) return;
    const message = failureText(failed) ?? 'No reason given';
    announce('failure', `Pull of ${shortName(failed)} on ${failed.nodeName} failed: ${message}.`);
  }, [failed, announce]);

  return (
    <p className="hidden" role="status" aria-live="polite" data-field="announcement">
      {text}
    </p>
  );
}
