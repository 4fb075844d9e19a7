// From one try to the next: the page goes on to the row that a pull has become, and takes along why the try before
// failed.

import type { PullStatus } from '../../api/gen/wire';

let handed: { to: string; failed: PullStatus } | undefined;

export function handOver(from: PullStatus | undefined, to: string): void {
  if (from === undefined) return;
  const failed = from.outcome === 'failed' ? from : failedBefore(from.id);
  handed = failed && { to, failed };
}

/** The failed try that the reader looked at before this one took its place. */
export const failedBefore = (id: string): PullStatus | undefined =>
  handed?.to === id ? handed.failed : undefined;
