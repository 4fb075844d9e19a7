// The main story: a cluster of 56 nodes with several deployments and four failing images.

import { MiB } from '../catalogue';
import {
  type ConsumerPlan,
  type NodePlan,
  node,
  type Plan,
  type PodPlan,
  type PullBehaviour,
  plan,
  pod,
} from '../plan';
import { randomBetween, randomInt, shuffled } from '../random';
import { storyFromPlan } from './story';

const SLOW_NODE = 'gpu-worker-14';
const FULL_NODE = 'gpu-worker-11';
const SILENT_NODES = ['worker-b-19', 'worker-c-08'];

const twoDigits = (n: number): string => String(n).padStart(2, '0');

function nodes(): NodePlan[] {
  const gpu = Array.from({ length: 18 }, (_, i) =>
    node(`gpu-worker-${twoDigits(i + 1)}`, { maxParallelPulls: 1 }),
  );
  const app = Array.from({ length: 38 }, (_, i) => node(`worker-${'abc'[(i + 1) % 3]}-${twoDigits(i + 1)}`));
  return [...gpu, ...app].map((each) => {
    if (each.name === SLOW_NODE) return { ...each, bandwidth: 31 * MiB, slow: true };
    const silent = SILENT_NODES.indexOf(each.name);
    // One has active pulls, the other is idle.
    return silent < 0 ? each : { ...each, silentAt: silent === 0 ? -38 : -180 };
  });
}

interface Wave {
  /** Time of the first pod, interval between nodes, and number of nodes. */
  at: number;
  interval: number;
  nodes: number;
  namespace: string;
  app: string;
  image: string;
  /** Nodes to start with, and the only nodes to use. */
  first?: readonly string[];
  only?: readonly string[];
  gpu?: boolean;
  /** Maximum number of pods per node. */
  pods?: number;
}

function wave(
  at: number,
  interval: number,
  nodes: number,
  workload: string,
  image: string,
  more: Partial<Wave> = {},
): Wave {
  const [namespace = '', app = ''] = workload.split('/');
  return { at, interval, nodes, namespace, app, image, ...more };
}

const GPU = { gpu: true } as const;
const TRAINING_NODES = ['gpu-worker-02', 'gpu-worker-05', 'gpu-worker-09', 'gpu-worker-16'];

/** The view time is second 0. */
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
  wave(-60, 2.4, 4, 'training/finetune-llm', 'nvcr.io/nvidia/pytorch:26.09-py3', {
    only: TRAINING_NODES,
    pods: 2,
  }),
  wave(-45, 0.1, 1, 'batch/nightly-report', 'public.ecr.aws/acme/batch-worker:2026.11.23', {
    only: ['worker-b-19'],
  }),
  wave(-37, 1.6, 15, 'ml-serving/inference', 'ghcr.io/acme/ml-inference:2.4.1', {
    ...GPU,
    first: ['gpu-worker-07', SLOW_NODE],
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

const singleContainer = (container: string, image: string, behaviour?: PullBehaviour): ConsumerPlan[] => [
  { container, kind: 'container', image, ...(behaviour ? { behaviour } : {}) },
];

const failsWith = (reason: NonNullable<PullBehaviour['ending']>['reason'], share = 0): PullBehaviour => ({
  ending: { outcome: 'failed', share, ...(reason ? { reason } : {}) },
});

/** Failing pods: missing image, credentials, rate limit, full disk. */
function failingPods(nodePlans: readonly NodePlan[]): PodPlan[] {
  const app = nodePlans
    .filter(({ name }) => !name.startsWith('gpu') && !SILENT_NODES.includes(name))
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
        singleContainer('redis', 'docker.io/bitnami/redis:7.4.2', failsWith('not_found')),
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
          singleContainer('scorer', 'ghcr.io/acme/fraud-model:3.0.0-rc1', failsWith('unauthorized')),
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
        singleContainer('cleanup', 'docker.io/library/busybox:1.37', failsWith('rate_limited')),
      ),
    ),
    pod(
      'ml-serving',
      'inference',
      'full',
      FULL_NODE,
      -96,
      singleContainer('inference', 'ghcr.io/acme/ml-inference:2.4.1', failsWith('no_space', 0.34)),
    ),
  ];
}

function wavePods(wave: Wave, index: number, nodePlans: readonly NodePlan[]): PodPlan[] {
  const { at, interval, namespace, app, image, first = [], only, gpu = false, pods = 1 } = wave;
  const pool = nodePlans
    .map(({ name }) => name)
    .filter((name) => name.startsWith('gpu') === gpu && name !== FULL_NODE)
    .filter((name) => !SILENT_NODES.includes(name) || at < -200);
  const order = [...first, ...shuffled(pool, 'wave', index).filter((name) => !first.includes(name))];
  const chosen = (only ?? order).slice(0, wave.nodes);
  return chosen.flatMap((name, i) => {
    const podAt = at + i * interval * randomBetween(0.6, 1.4, 'stagger', index, name);
    return Array.from({ length: randomInt(1, pods, 'pods', index, name) }, (_, n) =>
      pod(namespace, app, `${index}.${n}`, name, podAt + n * 0.4, singleContainer(app, image)),
    );
  });
}

export function rolloutPlan(): Plan {
  const nodePlans = nodes();
  return plan('rollout', nodePlans, [
    ...failingPods(nodePlans),
    ...WAVES.flatMap((each, index) => wavePods(each, index, nodePlans)),
  ]);
}

export const rollout = storyFromPlan(
  {
    name: 'rollout',
    description: 'Several deployments on 56 nodes: one slow node, two silent nodes, four failing images',
    viewAt: 0,
    until: 180,
  },
  rolloutPlan,
);
