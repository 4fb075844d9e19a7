// The page of one pull.

import { useEffect, useState } from 'react';
import type { PullStatus } from '../../api/gen/wire';
import { useDataset, useLive, useRow, useSyncState } from '../../live/hooks';
import { successor } from '../../model/peers';
import { href, type PageProps } from '../../route';
import { Message } from '../../ui/Message';
import { Detail } from './Detail';
import { handOverFailure, previousFailure } from './handOver';

export function Pull({ route }: PageProps) {
  const id = route.path[0] ?? '';
  const row = useRow(id);
  const [last, setLast] = useState(row);
  // Keep showing a pull that the server evicts while it is open.
  if (row !== undefined && row !== last) setLast(row);
  const shown = row ?? last;
  return (
    <>
      {row === undefined && <FollowSuccessor id={id} last={last} />}
      {shown === undefined ? (
        <PullNotFound />
      ) : (
        <Detail pull={shown} isGone={row === undefined} previousFailure={previousFailure(id)} />
      )}
    </>
  );
}

/** Follows a pull that continues under another id. */
function FollowSuccessor({ id, last }: { id: string; last: PullStatus | undefined }) {
  const { store } = useLive();
  const { rows } = useDataset();
  const next = successor(rows.values(), id, store.stableIds.stableId);
  useEffect(() => {
    if (next === undefined) return;
    handOverFailure(last, next.id);
    window.location.replace(href('pulls', [next.id]));
  }, [last, next]);
  return null;
}

function PullNotFound() {
  const sync = useSyncState();
  if (sync === 'loading') return <h1 className="hidden">Loading pull</h1>;
  return (
    <Message name="no-pull" title="Pull not found" level={1}>
      <p>It may have ended long ago and been evicted, or it belongs to another server.</p>
      <p>
        <a href={href('pulls')}>All pulls</a>
      </p>
    </Message>
  );
}
