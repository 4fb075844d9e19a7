// Hands a failed attempt over to the page of the next attempt, so that its failure stays visible.

import type { PullStatus } from '../../api/gen/wire';

let handedOver: { to: string; failed: PullStatus } | undefined;

export function handOverFailure(from: PullStatus | undefined, to: string): void {
  if (from === undefined) return;
  const failed = from.outcome === 'failed' ? from : previousFailure(from.id);
  handedOver = failed && { to, failed };
}

/** Returns the failed attempt that was open before this pull replaced it. */
export const previousFailure = (id: string): PullStatus | undefined =>
  handedOver?.to === id ? handedOver.failed : undefined;
