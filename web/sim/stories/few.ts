// One thing each: what a pull may be doing, alone or beside what it has to do with.

import { KiB, MiB } from '../catalogue';
import { container, type PodPlan, pod, type SlotPlan, type Twist } from '../plan';
import { played, small } from './story';

const CHECKOUT = 'ghcr.io/acme/checkout:8f3c2d1';
const INFERENCE = 'ghcr.io/acme/ml-inference:2.4.1';

const one = (app: string, on: string, at: number, image: string, twist?: Twist): PodPlan =>
  pod('shop', app, 0, on, at, [container(app, image, twist)]);

export const onePull = played(
  { name: 'one-pull', shows: 'One pull of an image of 12 layers, halfway', from: 16, until: 60 },
  () =>
    small('one-pull', [
      pod('ml-serving', 'inference', 0, 'gpu-worker-01', 0, [container('inference', INFERENCE)]),
      pod('ml-serving', 'inference', 1, 'gpu-worker-01', 0.6, [container('inference', INFERENCE)]),
    ]),
);

export const sizeUnknown = played(
  {
    name: 'size-unknown',
    shows: 'Bytes come of an image whose manifest nobody saw; another one waits for the registry',
    from: 12,
    until: 90,
  },
  () =>
    small('size-unknown', [
      one('storefront', 'worker-a-12', 0, 'ghcr.io/acme/storefront:8f3c2d1', { blind: true, cap: 3 * MiB }),
      one('checkout', 'worker-b-13', 2, CHECKOUT, { resolves: 70 }),
    ]),
);

export const queued = played(
  {
    name: 'queued',
    shows: 'A kubelet that pulls one image after the other: four are in its queue',
    from: 9,
    until: 60,
  },
  () =>
    small(
      'queued',
      [
        pod('search', 'search-indexer', 0, 'worker-a-12', 0, [
          container('indexer', 'ghcr.io/acme/search-indexer:0.31.2'),
        ]),
        one('checkout', 'worker-a-12', 1, CHECKOUT),
        one('storefront', 'worker-a-12', 2, 'ghcr.io/acme/storefront:8f3c2d1'),
        pod('payments', 'payments-api', 0, 'worker-a-12', 3, [
          container('api', 'ghcr.io/acme/payments-api:1.42.0'),
        ]),
        pod('monitoring', 'grafana', 0, 'worker-a-12', 4, [
          container('grafana', 'docker.io/grafana/grafana:12.2.1'),
        ]),
      ],
      [{ name: 'worker-a-12', parallel: 1 }],
    ),
);

export const sharedLayer = played(
  {
    name: 'shared-layer',
    shows: 'Two images with the same large layer: the second pull waits for the bytes of the first',
    from: 15,
    until: 60,
  },
  () =>
    small('shared-layer', [
      pod('ml-serving', 'inference', 0, 'gpu-worker-01', 0, [container('inference', INFERENCE)]),
      pod('batch', 'embed', 0, 'gpu-worker-01', 2, [container('embed', 'ghcr.io/acme/ml-batch:2.4.1')]),
    ]),
);

export const extracting = played(
  { name: 'extracting', shows: 'All bytes are here, and a slow disk unpacks them', from: 30, until: 100 },
  () =>
    small(
      'extracting',
      [one('search-indexer', 'worker-a-12', 0, 'ghcr.io/acme/search-indexer:0.31.2')],
      [{ name: 'worker-a-12', unpacks: 8 * MiB }],
    ),
);

export const stalled = played(
  {
    name: 'stalled',
    shows: 'No byte has come for 40 s; another pull on the same node gets on',
    from: 45,
    until: 110,
  },
  () =>
    small('stalled', [
      one('storefront', 'worker-a-12', 0, 'ghcr.io/acme/storefront:8f3c2d1', {
        stalls: { share: 0.41, seconds: 90 },
      }),
      one('search-indexer', 'worker-a-12', 30, 'ghcr.io/acme/search-indexer:0.31.2', { cap: 9 * MiB }),
    ]),
);

export const trickling = played(
  { name: 'trickling', shows: 'Bytes come, far slower than on the other nodes', from: 40, until: 110 },
  () =>
    small(
      'trickling',
      [
        one('checkout', 'worker-b-19', 0, CHECKOUT, { cap: 190 * KiB }),
        one('checkout', 'worker-a-12', 0, CHECKOUT),
        one('checkout', 'worker-c-20', 36, CHECKOUT),
      ],
      [{ name: 'worker-b-19', slow: true }],
    ),
);

export const cancelled = played({ name: 'cancelled', shows: 'A pull that was called off', from: 20 }, () =>
  small('cancelled', [
    one('storefront', 'worker-a-12', 0, 'ghcr.io/acme/storefront:8f3c2d1', {
      ends: { outcome: 'cancelled', share: 0.6 },
    }),
  ]),
);

export const unknownOutcome = played(
  { name: 'unknown-outcome', shows: 'A pull that is over, and nobody saw how', from: 20 },
  () =>
    small('unknown-outcome', [
      one('storefront', 'worker-a-12', 0, 'ghcr.io/acme/storefront:8f3c2d1', {
        ends: { outcome: 'unknown', share: 0.8 },
      }),
    ]),
);

export const lazy = played(
  {
    name: 'lazy',
    shows: 'A snapshotter that mounts layers from the registry: hardly anything is downloaded',
    from: 0.62,
  },
  () =>
    small('lazy', [
      pod('ml-serving', 'inference', 0, 'gpu-worker-01', 0, [
        container('inference', INFERENCE, { remote: true, cap: 20 * KiB }),
      ]),
    ]),
);

export const fullyCached = played(
  { name: 'fully-cached', shows: 'All layers were on the node: nothing is downloaded', from: 8 },
  () =>
    small(
      'fully-cached',
      [
        one('checkout', 'worker-a-12', 0, CHECKOUT, { always: true }),
        one('checkout', 'worker-b-13', 6, CHECKOUT, { always: true }),
      ],
      [
        { name: 'worker-a-12', has: [CHECKOUT] },
        { name: 'worker-b-13', has: [CHECKOUT] },
      ],
    ),
);

export const subSecond = played(
  { name: 'sub-second', shows: 'Pulls that are over before anybody sees them', from: 6 },
  () =>
    small(
      'sub-second',
      Array.from({ length: 9 }, (_, i) =>
        one('cleanup', `worker-${'abc'[i % 3]}-${12 + i}`, i * 0.6, 'docker.io/library/busybox:1.37', {
          resolves: 0.2,
        }),
      ),
    ),
);

export const nodeSilent = played(
  {
    name: 'node-silent',
    shows: 'An agent that has been silent for 40 s while its node pulled',
    from: 50,
    until: 110,
  },
  () =>
    small(
      'node-silent',
      [
        one('search-indexer', 'worker-b-19', 2, 'ghcr.io/acme/search-indexer:0.31.2', { cap: 20 * MiB }),
        one('checkout', 'worker-b-19', 3, CHECKOUT, { cap: 6 * MiB }),
        one('search-indexer', 'worker-a-12', 40, 'ghcr.io/acme/search-indexer:0.31.2', { cap: 20 * MiB }),
      ],
      [{ name: 'worker-b-19', silentAt: 10 }],
    ),
);

const slot = (kind: SlotPlan['kind'], name: string, image: string): SlotPlan => ({
  kind,
  container: name,
  image,
});

export const initPod = played(
  {
    name: 'init-pod',
    shows:
      'A pod with a volume, an init container, a sidecar and two containers, which come one after the other',
    from: 38,
    until: 90,
  },
  () =>
    small(
      'init-pod',
      [
        pod('search', 'search', 0, 'worker-a-12', 0, [
          slot('volume', 'index', 'ghcr.io/acme/search-data:2026-11-23'),
          slot('init', 'migrate', 'ghcr.io/acme/migrate:1.42.0'),
          slot('sidecar', 'istio-proxy', 'docker.io/istio/proxyv2:1.28.0'),
          slot('container', 'indexer', 'ghcr.io/acme/search-indexer:0.31.2'),
          slot('container', 'metrics', 'docker.io/grafana/grafana:12.2.1'),
        ]),
        pod('search', 'search', 1, 'worker-b-13', -30, [
          slot('volume', 'index', 'ghcr.io/acme/search-data:2026-11-23'),
          slot('init', 'migrate', 'ghcr.io/acme/migrate:1.42.0'),
          slot('sidecar', 'istio-proxy', 'docker.io/istio/proxyv2:1.28.0'),
          slot('container', 'indexer', 'ghcr.io/acme/search-indexer:0.31.2'),
          slot('container', 'metrics', 'docker.io/grafana/grafana:12.2.1'),
        ]),
      ],
      [{ name: 'worker-a-12', has: ['docker.io/istio/proxyv2:1.28.0'], bandwidth: 90 * MiB }],
    ),
);
