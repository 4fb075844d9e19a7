// Texts that change with time alone. Kept small, since they render every second.

import { useNow } from '../live/hooks';
import { parseInstant, seconds } from '../model/format';
import { noteText, type PullNote, retryText } from '../model/pull';

/** `2 m 10 s ago` */
export function Ago({ at }: { at: string | undefined }) {
  const now = useNow();
  const then = parseInstant(at);
  if (then === undefined) return null;
  return (
    <time dateTime={at} title={at}>
      {seconds(Math.max(0, now - then) / 1000)} ago
    </time>
  );
}

/** Time since an instant. */
export function Elapsed({ since }: { since: string | undefined }) {
  const now = useNow();
  const then = parseInstant(since);
  return then === undefined ? null : seconds(Math.max(0, now - then) / 1000);
}

export function NoteText({ note }: { note: PullNote }) {
  return noteText(note, useNow());
}

/** Time until the kubelet retries. */
export function RetryCountdown({ at }: { at: number }) {
  return retryText(at, useNow());
}
