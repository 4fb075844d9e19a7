// Reports whether the data on the page is stale.

import { useConnection, useSyncState } from '../../live/hooks';

/** Figures are dimmed while disconnected or resyncing. */
export function useIsStale(): boolean {
  const { state } = useConnection();
  const sync = useSyncState();
  return state === 'lost' || state === 'resting' || sync === 'resyncing';
}
