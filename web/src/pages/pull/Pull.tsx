// One pull: which one it is, and whether the server still knows it.

import { useEffect, useState } from 'react';
import type { PullStatus } from '../../api/gen/wire';
import { useAll, useLive, useRow, useSync } from '../../live/hooks';
import { successor } from '../../model/peers';
import { href, type PageProps } from '../../route';
import { Message } from '../../ui/Message';
import { Detail } from './Detail';
import { failedBefore, handOver } from './follow';

export function Pull({ route }: PageProps) {
  const id = route.path[0] ?? '';
  const row = useRow(id);
  const [last, keep] = useState(row);
  // What the server forgets while it is looked at stays in sight.
  if (row !== undefined && row !== last) keep(row);
  const shown = row ?? last;
  return (
    <>
      {row === undefined && <Follow id={id} last={last} />}
      {shown === undefined ? (
        <Nothing />
      ) : (
        <Detail pull={shown} gone={row === undefined} before={failedBefore(id)} />
      )}
    </>
  );
}

/** A pull that goes on under another id is looked at under that one. */
function Follow({ id, last }: { id: string; last: PullStatus | undefined }) {
  const { store } = useLive();
  const { rows } = useAll();
  const next = successor(rows.values(), id, store.lines.first);
  useEffect(() => {
    if (next === undefined) return;
    handOver(last, next.id);
    window.location.replace(href('pulls', [next.id]));
  }, [last, next]);
  return null;
}

function Nothing() {
  const sync = useSync();
  if (sync === 'filling') return <h1 className="hidden">Loading the pull</h1>;
  return (
    <Message name="no-pull" title="This pull is not known" level={1}>
      <p>
        It may be over for long: the server forgets what ended a while ago. Or it was another server that knew
        it.
      </p>
      <p>
        <a href={href('pulls')}>All pulls</a>
      </p>
    </Message>
  );
}
