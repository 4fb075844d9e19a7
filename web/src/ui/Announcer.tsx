// What a screen reader is told unasked: a lost or regained connection, and new failures. Politely, and not too often.

import { useCallback, useEffect, useRef, useState } from 'react';
import { useConnection, useLastFailed } from '../live/hooks';
import { shortName } from '../model/image';
import { reason } from '../model/pull';
import { explain, useCut } from './Connection';

const BETWEEN_MS = 10_000;

type About = 'connection' | 'failure';

/** Says the latest of each kind, all that came up since the last time together. */
function useVoice(): [text: string, say: (about: About, words: string) => void] {
  const [text, setText] = useState('');
  const pending = useRef(new Map<About, string>());
  const spokenAt = useRef(Number.NEGATIVE_INFINITY);
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  useEffect(() => () => clearTimeout(timer.current), []);
  const say = useCallback((about: About, words: string) => {
    pending.current.set(about, words);
    const wait = Math.max(0, spokenAt.current + BETWEEN_MS - performance.now());
    clearTimeout(timer.current);
    timer.current = setTimeout(() => {
      spokenAt.current = performance.now();
      setText([...pending.current.values()].join(' '));
      pending.current.clear();
    }, wait);
  }, []);
  return [text, say];
}

export function Announcer() {
  const connection = useConnection();
  const cut = useCut();
  const failed = useLastFailed();
  const [text, say] = useVoice();
  const saidCut = useRef(false);

  useEffect(() => {
    if (connection.state === 'live' && saidCut.current) {
      saidCut.current = false;
      say('connection', 'The page is live again.');
    } else if (connection.state === 'lost' && cut && !saidCut.current) {
      saidCut.current = true;
      say('connection', `${explain(connection.loss)} Trying again.`);
    }
  }, [connection, cut, say]);

  useEffect(() => {
    if (!failed) return;
    const words = reason(failed) ?? 'nobody says why';
    say('failure', `The pull of ${shortName(failed)} on ${failed.nodeName} failed: ${words}.`);
  }, [failed, say]);

  return (
    <p className="hidden" role="status" aria-live="polite" data-field="announcement">
      {text}
    </p>
  );
}
