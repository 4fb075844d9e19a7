// Whether what is shown is of the past.

import { useConnection, useSync } from '../../live/hooks';

/** Figures are dimmed while this holds: nobody knows what has become of them. */
export function usePast(): boolean {
  const { state } = useConnection();
  const sync = useSync();
  return state === 'lost' || state === 'resting' || sync === 'refilling';
}
