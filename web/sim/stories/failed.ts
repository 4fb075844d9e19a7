// One failed pull per failure reason, with realistic messages.

import type { FailureReason } from '../../src/api/gen/wire';
import { REASONS } from '../failures';
import { container, node, pod } from '../plan';
import { smallPlan, storyFromPlan } from './story';

/** Downloaded share for reasons that occur during the download. */
const FAILED_SHARE: Partial<Record<FailureReason, number>> = {
  no_space: 0.7,
  digest_mismatch: 0.9,
  progress_timeout: 0.3,
  runtime_restarted: 0.5,
  cancelled: 0.4,
  unexplained: 0.6,
  other: 0.2,
};

const demoImage = (reason: FailureReason): string =>
  reason === 'invalid_name'
    ? 'ghcr.io/acme/Search-UI:2.0'
    : `ghcr.io/acme/${reason.replaceAll('_', '-')}-demo:2.0`;

export const failed = storyFromPlan(
  { name: 'failed', description: 'One failed pull per failure reason', viewAt: 9.5 },
  () => {
    const nodes = Array.from({ length: 7 }, (_, i) => `worker-${'abc'[i % 3]}-${12 + i}`);
    return smallPlan(
      'failed',
      REASONS.map((reason, i) =>
        pod('shop', reason.replaceAll('_', '-'), 0, nodes[i % nodes.length] as string, i * 0.25, [
          container('app', demoImage(reason), {
            ending: { outcome: 'failed', share: FAILED_SHARE[reason] ?? 0, reason },
          }),
        ]),
      ),
      nodes.map((name) => node(name, { maxParallelPulls: 4 })),
    );
  },
);
