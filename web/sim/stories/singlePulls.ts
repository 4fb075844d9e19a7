// Stories that each show a single state of a pull.

import { KiB, MiB } from '../catalogue';
import { type ConsumerPlan, container, type PodPlan, type PullBehaviour, pod } from '../plan';
import { smallPlan, storyFromPlan } from './story';

const CHECKOUT = 'ghcr.io/acme/checkout:8f3c2d1';
const INFERENCE = 'ghcr.io/acme/ml-inference:2.4.1';

const shopPod = (app: string, on: string, at: number, image: string, twist?: PullBehaviour): PodPlan =>
  pod('shop', app, 0, on, at, [container(app, image, twist)]);

export const onePull = storyFromPlan(
  { name: 'one-pull', description: 'A half-finished pull of an image with 12 layers', viewAt: 16, until: 60 },
  () =>
    smallPlan('one-pull', [
      pod('ml-serving', 'inference', 0, 'gpu-worker-01', 0, [container('inference', INFERENCE)]),
      pod('ml-serving', 'inference', 1, 'gpu-worker-01', 0.6, [container('inference', INFERENCE)]),
    ]),
);

export const sizeUnknown = storyFromPlan(
  {
    name: 'size-unknown',
    description: 'A download of unknown size; another pull waits for the registry',
    viewAt: 12,
    until: 90,
  },
  () =>
    smallPlan('size-unknown', [
      shopPod('storefront', 'worker-a-12', 0, 'ghcr.io/acme/storefront:8f3c2d1', {
        hidesManifest: true,
        maxSpeed: 3 * MiB,
      }),
      shopPod('checkout', 'worker-b-13', 2, CHECKOUT, { resolveSeconds: 70 }),
    ]),
);

export const queued = storyFromPlan(
  {
    name: 'queued',
    description: 'A kubelet with serial pulls and four queued images',
    viewAt: 9,
    until: 60,
  },
  () =>
    smallPlan(
      'queued',
      [
        pod('search', 'search-indexer', 0, 'worker-a-12', 0, [
          container('indexer', 'ghcr.io/acme/search-indexer:0.31.2'),
        ]),
        shopPod('checkout', 'worker-a-12', 1, CHECKOUT),
        shopPod('storefront', 'worker-a-12', 2, 'ghcr.io/acme/storefront:8f3c2d1'),
        pod('payments', 'payments-api', 0, 'worker-a-12', 3, [
          container('api', 'ghcr.io/acme/payments-api:1.42.0'),
        ]),
        pod('monitoring', 'grafana', 0, 'worker-a-12', 4, [
          container('grafana', 'docker.io/grafana/grafana:12.2.1'),
        ]),
      ],
      [{ name: 'worker-a-12', maxParallelPulls: 1 }],
    ),
);

export const sharedLayer = storyFromPlan(
  {
    name: 'shared-layer',
    description: 'Two images share a large layer: the second pull waits for the first',
    viewAt: 15,
    until: 60,
  },
  () =>
    smallPlan('shared-layer', [
      pod('ml-serving', 'inference', 0, 'gpu-worker-01', 0, [container('inference', INFERENCE)]),
      pod('batch', 'embed', 0, 'gpu-worker-01', 2, [container('embed', 'ghcr.io/acme/ml-batch:2.4.1')]),
    ]),
);

export const extracting = storyFromPlan(
  { name: 'extracting', description: 'Extraction on a slow disk after the download', viewAt: 30, until: 100 },
  () =>
    smallPlan(
      'extracting',
      [shopPod('search-indexer', 'worker-a-12', 0, 'ghcr.io/acme/search-indexer:0.31.2')],
      [{ name: 'worker-a-12', unpackSpeed: 8 * MiB }],
    ),
);

export const stalled = storyFromPlan(
  {
    name: 'stalled',
    description: 'A pull stalled for 40 s; another one on the node progresses',
    viewAt: 45,
    until: 110,
  },
  () =>
    smallPlan('stalled', [
      shopPod('storefront', 'worker-a-12', 0, 'ghcr.io/acme/storefront:8f3c2d1', {
        stall: { share: 0.41, seconds: 90 },
      }),
      shopPod('search-indexer', 'worker-a-12', 30, 'ghcr.io/acme/search-indexer:0.31.2', {
        maxSpeed: 9 * MiB,
      }),
    ]),
);

export const trickling = storyFromPlan(
  { name: 'trickling', description: 'A pull much slower than on other nodes', viewAt: 40, until: 110 },
  () =>
    smallPlan(
      'trickling',
      [
        shopPod('checkout', 'worker-b-19', 0, CHECKOUT, { maxSpeed: 190 * KiB }),
        shopPod('checkout', 'worker-a-12', 0, CHECKOUT),
        shopPod('checkout', 'worker-c-20', 36, CHECKOUT),
      ],
      [{ name: 'worker-b-19', slow: true }],
    ),
);

export const cancelled = storyFromPlan(
  { name: 'cancelled', description: 'A cancelled pull', viewAt: 20 },
  () =>
    smallPlan('cancelled', [
      shopPod('storefront', 'worker-a-12', 0, 'ghcr.io/acme/storefront:8f3c2d1', {
        ending: { outcome: 'cancelled', share: 0.6 },
      }),
    ]),
);

export const unknownOutcome = storyFromPlan(
  { name: 'unknown-outcome', description: 'A pull with an unknown outcome', viewAt: 20 },
  () =>
    smallPlan('unknown-outcome', [
      shopPod('storefront', 'worker-a-12', 0, 'ghcr.io/acme/storefront:8f3c2d1', {
        ending: { outcome: 'unknown', share: 0.8 },
      }),
    ]),
);

export const lazy = storyFromPlan(
  {
    name: 'lazy',
    description: 'Lazy pulling: layers are mounted from the registry',
    viewAt: 0.62,
  },
  () =>
    smallPlan('lazy', [
      pod('ml-serving', 'inference', 0, 'gpu-worker-01', 0, [
        container('inference', INFERENCE, { mountsRemotely: true, maxSpeed: 20 * KiB }),
      ]),
    ]),
);

export const fullyCached = storyFromPlan(
  { name: 'fully-cached', description: 'All layers are cached: no download', viewAt: 8 },
  () =>
    smallPlan(
      'fully-cached',
      [
        shopPod('checkout', 'worker-a-12', 0, CHECKOUT, { alwaysPull: true }),
        shopPod('checkout', 'worker-b-13', 6, CHECKOUT, { alwaysPull: true }),
      ],
      [
        { name: 'worker-a-12', cachedImages: [CHECKOUT] },
        { name: 'worker-b-13', cachedImages: [CHECKOUT] },
      ],
    ),
);

export const subSecond = storyFromPlan(
  { name: 'sub-second', description: 'Pulls that take less than a second', viewAt: 6 },
  () =>
    smallPlan(
      'sub-second',
      Array.from({ length: 9 }, (_, i) =>
        shopPod('cleanup', `worker-${'abc'[i % 3]}-${12 + i}`, i * 0.6, 'docker.io/library/busybox:1.37', {
          resolveSeconds: 0.2,
        }),
      ),
    ),
);

export const nodeSilent = storyFromPlan(
  {
    name: 'node-silent',
    description: 'An agent that stopped reporting 40 s ago during pulls',
    viewAt: 50,
    until: 110,
  },
  () =>
    smallPlan(
      'node-silent',
      [
        shopPod('search-indexer', 'worker-b-19', 2, 'ghcr.io/acme/search-indexer:0.31.2', {
          maxSpeed: 20 * MiB,
        }),
        shopPod('checkout', 'worker-b-19', 3, CHECKOUT, { maxSpeed: 6 * MiB }),
        shopPod('search-indexer', 'worker-a-12', 40, 'ghcr.io/acme/search-indexer:0.31.2', {
          maxSpeed: 20 * MiB,
        }),
      ],
      [{ name: 'worker-b-19', silentAt: 10 }],
    ),
);

const consumer = (kind: ConsumerPlan['kind'], name: string, image: string): ConsumerPlan => ({
  kind,
  container: name,
  image,
});

export const initPod = storyFromPlan(
  {
    name: 'init-pod',
    description: 'A pod with volume, init container, sidecar and two containers',
    viewAt: 38,
    until: 90,
  },
  () =>
    smallPlan(
      'init-pod',
      [
        pod('search', 'search', 0, 'worker-a-12', 0, [
          consumer('volume', 'index', 'ghcr.io/acme/search-data:2026-11-23'),
          consumer('init', 'migrate', 'ghcr.io/acme/migrate:1.42.0'),
          consumer('sidecar', 'istio-proxy', 'docker.io/istio/proxyv2:1.28.0'),
          consumer('container', 'indexer', 'ghcr.io/acme/search-indexer:0.31.2'),
          consumer('container', 'metrics', 'docker.io/grafana/grafana:12.2.1'),
        ]),
        pod('search', 'search', 1, 'worker-b-13', -30, [
          consumer('volume', 'index', 'ghcr.io/acme/search-data:2026-11-23'),
          consumer('init', 'migrate', 'ghcr.io/acme/migrate:1.42.0'),
          consumer('sidecar', 'istio-proxy', 'docker.io/istio/proxyv2:1.28.0'),
          consumer('container', 'indexer', 'ghcr.io/acme/search-indexer:0.31.2'),
          consumer('container', 'metrics', 'docker.io/grafana/grafana:12.2.1'),
        ]),
      ],
      [{ name: 'worker-a-12', cachedImages: ['docker.io/istio/proxyv2:1.28.0'], bandwidth: 90 * MiB }],
    ),
);
