// Texts that change with time alone. Small, since they are drawn again each second.

import { useNodeNow } from '../live/hooks';
import { instant, seconds } from '../model/format';
import { type Note, noteText } from '../model/pull';

/** `2 m 10 s ago`, of an instant of the node's clock. */
export function Ago({ at, node }: { at: string | undefined; node: string }) {
  const now = useNodeNow(node);
  const then = instant(at);
  if (then === undefined) return null;
  return (
    <time dateTime={at} title={at}>
      {seconds(Math.max(0, now - then) / 1000)} ago
    </time>
  );
}

/** How long it goes on, of an instant of the node's clock. */
export function Elapsed({ since, node }: { since: string; node: string }) {
  const now = useNodeNow(node);
  const then = instant(since);
  return then === undefined ? null : seconds(Math.max(0, now - then) / 1000);
}

export function NoteText({ note, node }: { note: Note; node: string }) {
  const now = useNodeNow(node);
  return <>{noteText(note, now)}</>;
}
