// A pull for each reason for which one may fail, with what runtimes write in such a case.

import type { FailureReason } from '../../src/api/gen/wire';
import { REASONS } from '../failures';
import { container, node, pod } from '../plan';
import { played, small } from './story';

/** Those that come when bytes were on their way already. */
const LATE: Partial<Record<FailureReason, number>> = {
  no_space: 0.7,
  digest_mismatch: 0.9,
  progress_timeout: 0.3,
  runtime_restarted: 0.5,
  cancelled: 0.4,
  unexplained: 0.6,
  other: 0.2,
};

const image = (reason: FailureReason): string =>
  reason === 'invalid_name'
    ? 'ghcr.io/acme/Search-UI:2.0'
    : `ghcr.io/acme/${reason.replaceAll('_', '-')}-demo:2.0`;

export const failed = played(
  { name: 'failed', shows: 'A pull for each reason for which one may fail', from: 9.5 },
  () => {
    const nodes = Array.from({ length: 7 }, (_, i) => `worker-${'abc'[i % 3]}-${12 + i}`);
    return small(
      'failed',
      REASONS.map((reason, i) =>
        pod('shop', reason.replaceAll('_', '-'), 0, nodes[i % nodes.length] as string, i * 0.25, [
          container('app', image(reason), { ends: { outcome: 'failed', share: LATE[reason] ?? 0, reason } }),
        ]),
      ),
      nodes.map((name) => node(name, { parallel: 4 })),
    );
  },
);
