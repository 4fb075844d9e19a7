// The big one: a day in a cluster of 56 nodes, with several deployments at once and four that fail.

import { MiB } from '../catalogue';
import { type NodePlan, node, type Plan, type PodPlan, plan, pod, type SlotPlan, type Twist } from '../plan';
import { between, shuffled, whole } from '../random';
import { played } from './story';

const SLOW = 'gpu-worker-14';
const FULL = 'gpu-worker-11';
const SILENT = ['worker-b-19', 'worker-c-08'];

const two = (n: number): string => String(n).padStart(2, '0');

function nodes(): NodePlan[] {
  const gpu = Array.from({ length: 18 }, (_, i) => node(`gpu-worker-${two(i + 1)}`, { parallel: 1 }));
  const app = Array.from({ length: 38 }, (_, i) => node(`worker-${'abc'[(i + 1) % 3]}-${two(i + 1)}`));
  return [...gpu, ...app].map((each) => {
    if (each.name === SLOW) return { ...each, bandwidth: 31 * MiB, slow: true };
    const silent = SILENT.indexOf(each.name);
    // One of them with pulls that were going on, the other one idle.
    return silent < 0 ? each : { ...each, silentAt: silent === 0 ? -38 : -180 };
  });
}

interface Wave {
  /** When its first pod comes, how far apart the nodes are, and how many there are. */
  at: number;
  every: number;
  nodes: number;
  namespace: string;
  app: string;
  image: string;
  /** These first, or none but these. */
  first?: readonly string[];
  only?: readonly string[];
  gpu?: boolean;
  /** The most pods of one node. */
  pods?: number;
}

function wave(
  at: number,
  every: number,
  nodes: number,
  workload: string,
  image: string,
  more: Partial<Wave> = {},
): Wave {
  const [namespace = '', app = ''] = workload.split('/');
  return { at, every, nodes, namespace, app, image, ...more };
}

const GPU = { gpu: true } as const;
const TRAINED = ['gpu-worker-02', 'gpu-worker-05', 'gpu-worker-09', 'gpu-worker-16'];

/** What comes when. The look is at second 0. */
const WAVES: readonly Wave[] = [
  wave(-880, 0.9, 30, 'monitoring/grafana', 'docker.io/grafana/grafana:12.1.0'),
  wave(-850, 0.5, 34, 'shop/storefront', 'ghcr.io/acme/storefront:77d0b1a', { pods: 2 }),
  wave(-790, 0.7, 50, 'kube-system/cilium', 'quay.io/cilium/cilium:v1.18.3'),
  wave(-752, 0.8, 22, 'batch/etl', 'ghcr.io/acme/etl:5.0.3'),
  wave(-700, 0.6, 34, 'shop/storefront', 'ghcr.io/acme/storefront:8f3c2d1', { pods: 2 }),
  wave(-660, 6, 4, 'ml-serving/embedder', 'ghcr.io/acme/ml-inference:2.3.9', GPU),
  wave(-590, 0.9, 28, 'search/search-indexer', 'ghcr.io/acme/search-indexer:0.31.1'),
  wave(-540, 0.5, 26, 'payments/payments-api', 'ghcr.io/acme/payments-api:1.41.1', { pods: 2 }),
  wave(-500, 0.7, 24, 'batch/nightly-report', 'public.ecr.aws/acme/batch-worker:2026.11.22', { pods: 3 }),
  wave(-430, 8, 6, 'training/finetune-llm', 'nvcr.io/nvidia/pytorch:26.08-py3', {
    ...GPU,
    first: ['gpu-worker-03', 'gpu-worker-08'],
  }),
  wave(-395, 0.8, 32, 'payments/payments-api', 'ghcr.io/acme/payments-api:1.41.2', { pods: 2 }),
  wave(-320, 0.8, 30, 'ingress/ingress-nginx', 'registry.k8s.io/ingress-nginx/controller:v1.13.3'),
  wave(-286, 0.7, 30, 'search/search-indexer', 'ghcr.io/acme/search-indexer:0.31.1-1'),
  wave(-250, 0.6, 34, 'shop/checkout', 'ghcr.io/acme/checkout:41bd7e0', { pods: 2 }),
  wave(-180, 1.1, 26, 'batch/etl', 'ghcr.io/acme/etl:5.0.4'),
  wave(-140, 1.1, 20, 'batch/nightly-report', 'public.ecr.aws/acme/batch-worker:2026.11.22-1'),
  wave(-120, 2, 8, 'payments/ledger-db', 'docker.io/library/postgres:18.0'),
  wave(-60, 2.4, 4, 'training/finetune-llm', 'nvcr.io/nvidia/pytorch:26.09-py3', { only: TRAINED, pods: 2 }),
  wave(-45, 0.1, 1, 'batch/nightly-report', 'public.ecr.aws/acme/batch-worker:2026.11.23', {
    only: ['worker-b-19'],
  }),
  wave(-37, 1.6, 15, 'ml-serving/inference', 'ghcr.io/acme/ml-inference:2.4.1', {
    ...GPU,
    first: ['gpu-worker-07', SLOW],
    pods: 2,
  }),
  wave(-35, 0.72, 30, 'search/search-indexer', 'ghcr.io/acme/search-indexer:0.31.2'),
  wave(-25, 0.8, 22, 'payments/payments-api', 'ghcr.io/acme/payments-api:1.42.0', { pods: 2 }),
  wave(-24, 1.1, 16, 'batch/nightly-report', 'public.ecr.aws/acme/batch-worker:2026.11.23', { pods: 3 }),
  wave(-15, 0.4, 30, 'shop/checkout', 'ghcr.io/acme/checkout:8f3c2d1', { pods: 2 }),
  wave(-12, 1.2, 9, 'kube-system/cilium', 'quay.io/cilium/cilium:v1.18.4'),
  wave(-8, 0.9, 8, 'monitoring/grafana', 'docker.io/grafana/grafana:12.2.1'),
  wave(-9, 1.4, 6, 'ingress/ingress-nginx', 'registry.k8s.io/ingress-nginx/controller:v1.13.4'),
  wave(-4, 1, 2, 'payments/ledger-db', 'docker.io/library/postgres:18.1'),
  wave(12, 1.2, 30, 'shop/storefront', 'ghcr.io/acme/storefront:9a01c44'),
  wave(40, 0.9, 34, 'search/search-indexer', 'ghcr.io/acme/search-indexer:0.32.0'),
  wave(70, 0.7, 30, 'payments/payments-api', 'ghcr.io/acme/payments-api:1.42.1'),
  wave(100, 0.8, 24, 'batch/nightly-report', 'public.ecr.aws/acme/batch-worker:2026.11.24'),
];

const one = (container: string, image: string, twist?: Twist): SlotPlan[] => [
  { container, kind: 'container', image, ...(twist ? { twist } : {}) },
];

const failing = (reason: NonNullable<Twist['ends']>['reason'], share = 0): Twist => ({
  ends: { outcome: 'failed', share, ...(reason ? { reason } : {}) },
});

/** What does not work: a name that is gone, credentials, a limit, a full disk. */
function broken(on: readonly NodePlan[]): PodPlan[] {
  const app = on
    .filter(({ name }) => !name.startsWith('gpu') && !SILENT.includes(name))
    .map(({ name }) => name);
  const some = (count: number, ...words: string[]) => shuffled(app, ...words).slice(0, count);
  return [
    ...some(3, 'redis').map((name, i) =>
      pod(
        'shop',
        'cart-cache',
        i,
        name,
        -1480 + i * 3,
        one('redis', 'docker.io/bitnami/redis:7.4.2', failing('not_found')),
      ),
    ),
    ...some(2, 'fraud').flatMap((name, i) =>
      [0, 1].map((n) =>
        pod(
          'payments',
          'fraud-scorer',
          i * 2 + n,
          name,
          -612 + i * 2,
          one('scorer', 'ghcr.io/acme/fraud-model:3.0.0-rc1', failing('unauthorized')),
        ),
      ),
    ),
    ...some(4, 'busybox').map((name, i) =>
      pod(
        'batch',
        'cleanup-cron',
        i,
        name,
        -71 + i * 4,
        one('cleanup', 'docker.io/library/busybox:1.37', failing('rate_limited')),
      ),
    ),
    pod(
      'ml-serving',
      'inference',
      'full',
      FULL,
      -96,
      one('inference', 'ghcr.io/acme/ml-inference:2.4.1', failing('no_space', 0.34)),
    ),
  ];
}

function come(coming: Wave, index: number, on: readonly NodePlan[]): PodPlan[] {
  const { at, every, namespace, app, image, first = [], only, gpu = false, pods = 1 } = coming;
  const pool = on
    .map(({ name }) => name)
    .filter((name) => name.startsWith('gpu') === gpu && name !== FULL)
    .filter((name) => !SILENT.includes(name) || at < -200);
  const order = [...first, ...shuffled(pool, 'wave', index).filter((name) => !first.includes(name))];
  const chosen = (only ?? order).slice(0, coming.nodes);
  return chosen.flatMap((name, i) => {
    const when = at + i * every * between(0.6, 1.4, 'stagger', index, name);
    return Array.from({ length: whole(1, pods, 'pods', index, name) }, (_, n) =>
      pod(namespace, app, `${index}.${n}`, name, when + n * 0.4, one(app, image)),
    );
  });
}

export function rolloutPlan(): Plan {
  const on = nodes();
  return plan('rollout', on, [...broken(on), ...WAVES.flatMap((each, index) => come(each, index, on))]);
}

export const rollout = played(
  {
    name: 'rollout',
    shows: 'Several deployments at once on 56 nodes: one node is slow, two are silent, four images fail',
    from: 0,
    until: 180,
  },
  rolloutPlan,
);
