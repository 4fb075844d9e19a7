// Texts that change with time alone. Small, since they are drawn again each second.

import { useNow } from '../live/hooks';
import { instant, seconds } from '../model/format';
import { type Note, noteText, retry } from '../model/pull';

/** `2 m 10 s ago` */
export function Ago({ at }: { at: string | undefined }) {
  const now = useNow();
  const then = instant(at);
  if (then === undefined) return null;
  return (
    <time dateTime={at} title={at}>
      {seconds(Math.max(0, now - then) / 1000)} ago
    </time>
  );
}

/** How long it goes on. */
export function Elapsed({ since }: { since: string | undefined }) {
  const now = useNow();
  const then = instant(since);
  return then === undefined ? null : seconds(Math.max(0, now - then) / 1000);
}

export function NoteText({ note }: { note: Note }) {
  return noteText(note, useNow());
}

/** When the kubelet tries again. */
export function Retry({ at }: { at: number }) {
  return retry(at, useNow());
}
