// Data that no current server sends: unknown words and fields, missing fields, markup in names,
// names of maximum length.

import type { LayerStatus, NodeStatus, PodStatus, PullStatus } from '../../src/api/gen/wire';
import { KiB, MiB } from '../catalogue';
import { node, plan } from '../plan';
import { randomDigest } from '../random';
import { clockFrom } from '../world';
import { derivedStory, storyFromPlan } from './story';

const LONG_NAME = 'a-very-long-name-that-somebody-generated-from-a-branch-and-a-build-'
  .repeat(5)
  .slice(0, 300);
const MARKUP = '<img src=x onerror=alert(1)>';
const HIDDEN = 'evil\u202etxt.exe\u0000\u001b[31mred\u200b';

const NODE = 'worker-a-12';

type RawObject = Record<string, unknown>;

/** Malformed rows. */
function malformedRows(clock: (seconds: number) => string): PullStatus[] {
  const base = { nodeName: NODE, phase: 'downloading', totalKnown: true, startedAt: clock(-20) };
  const sized = {
    totalBytes: 90 * MiB,
    cachedBytes: 0,
    toDownloadBytes: 90 * MiB,
    downloadedBytes: 30 * MiB,
  };
  const link = (more: RawObject): RawObject => ({
    namespace: 'shop',
    podName: 'checkout-0',
    uid: 'u1',
    container: 'app',
    image: 'app:1',
    ...more,
  });
  const rows: RawObject[] = [
    {
      id: 'odd/../id?with#all%kinds&of"characters\'',
      imageRef: 'ghcr.io/acme/odd-id:1',
      ...sized,
      percent: 30,
    },
    {
      id: 'a-later-phase',
      imageRef: 'ghcr.io/acme/later-phase:1',
      phase: 'verifying',
      ...sized,
      percent: 30,
    },
    {
      id: 'later-fields',
      imageRef: 'ghcr.io/acme/later-fields:1',
      ...sized,
      percent: 30,
      verifiedBytes: 7,
      peers: [{ a: 1 }],
    },
    { id: 'nothing-known', phase: 'resolving', totalKnown: false },
    {
      id: 'long-name',
      imageRef: `registry.example/${LONG_NAME}:${LONG_NAME.slice(0, 120)}`,
      ...sized,
      percent: 41.7,
    },
    { id: 'markup-name', imageRef: `registry.example/${MARKUP}:1`, ...sized, percent: 12 },
    { id: 'hidden-characters', imageRef: `registry.example/${HIDDEN}:1`, ...sized, percent: 12 },
    {
      id: 'no-pod-names',
      imageRef: 'ghcr.io/acme/no-pod-names:1',
      ...sized,
      percent: 55,
      pods: [link({ podName: '', namespace: '' }), link({ podName: undefined })],
    },
    {
      id: 'later-evidence',
      imageRef: 'ghcr.io/acme/later-evidence:1',
      ...sized,
      percent: 55,
      pods: [link({ evidence: 'sworn_by_the_kubelet' })],
    },
    {
      id: 'long-pod',
      imageRef: 'ghcr.io/acme/long-pod:1',
      ...sized,
      percent: 55,
      pods: [link({ podName: LONG_NAME, namespace: LONG_NAME.slice(0, 63) })],
    },
    {
      id: 'later-waiting',
      imageRef: 'ghcr.io/acme/later-waiting:1',
      ...sized,
      waitingOn: { kind: 'peer_cache', since: clock(-9) },
    },
    {
      id: 'waits-for-nobody',
      imageRef: 'ghcr.io/acme/waits-for-nobody:1',
      phase: 'queued',
      totalKnown: false,
      waitingOn: { kind: 'kubelet_queue', since: clock(-9), pull: 'gone', ahead: 3 },
    },
    {
      id: 'numbers',
      imageRef: 'ghcr.io/acme/numbers:1',
      totalBytes: 0,
      toDownloadBytes: 0,
      downloadedBytes: 0,
      percent: 0,
      bytesPerSec: 0,
      etaSeconds: 8.64e9,
    },
    {
      id: 'too-much',
      imageRef: 'ghcr.io/acme/too-much:1',
      ...sized,
      downloadedBytes: 120 * MiB,
      percent: 130,
      bytesPerSec: 9e15,
    },
    {
      id: 'from-the-future',
      imageRef: 'ghcr.io/acme/from-the-future:1',
      ...sized,
      startedAt: clock(3600),
      percent: 3,
    },
    { id: 'no-time', imageRef: 'ghcr.io/acme/no-time:1', ...sized, startedAt: 'yesterday', percent: 3 },
    {
      id: 'later-layers',
      imageRef: 'ghcr.io/acme/later-layers:1',
      ...sized,
      percent: 30,
      layerCount: 3,
      layersDone: 1,
      layers: malformedLayers(),
    },
    {
      id: 'html-error',
      imageRef: 'ghcr.io/acme/html-error:1',
      phase: 'failed',
      outcome: 'failed',
      completedAt: clock(-5),
      failure: {
        reason: 'registry_error',
        message: `<html><script>alert(1)</script>${MARKUP}</html>\n`.repeat(30),
      },
    },
    {
      id: 'later-reason',
      imageRef: 'ghcr.io/acme/later-reason:1',
      phase: 'failed',
      outcome: 'failed',
      completedAt: clock(-5),
      failure: {
        reason: 'quota_of_the_cloud',
        message: '\u001b[1;31mquota exceeded\u001b[0m\u0007',
        hint: LONG_NAME,
      },
    },
    {
      id: 'later-outcome',
      imageRef: 'ghcr.io/acme/later-outcome:1',
      phase: 'evicted',
      outcome: 'evicted',
      completedAt: clock(-5),
    },
    {
      id: 'ended-before',
      imageRef: 'ghcr.io/acme/ended-before:1',
      phase: 'completed',
      outcome: 'completed',
      percent: 100,
      startedAt: clock(-10),
      completedAt: clock(-30),
    },
  ];
  return rows.map((row, index) => ({ ...base, row: index + 1, ...row }) as unknown as PullStatus);
}

function malformedLayers(): LayerStatus[] {
  const layers: RawObject[] = [
    {
      digest: randomDigest('odd', 1),
      state: 'complete',
      totalBytes: 20 * MiB,
      createdBy: `RUN echo ${MARKUP} ${LONG_NAME}`,
    },
    { digest: randomDigest('odd', 2), state: 'verifying', totalBytes: 30 * MiB, downloadedBytes: 30 * MiB },
    {
      digest: 'no-digest',
      state: 'downloading',
      totalBytes: 0,
      downloadedBytes: 3 * KiB,
      mediaType: 'application/x-later',
    },
  ];
  return layers as unknown as LayerStatus[];
}

const malformedNodes = (nodes: readonly NodeStatus[], now: string): NodeStatus[] =>
  [
    ...nodes.map((each) => ({ ...each, clockOffsetMs: 3_600_000 })),
    {
      name: LONG_NAME.slice(0, 253),
      state: 'live',
      lastReportAt: now,
      live: 0,
      ended: 0,
      toDownloadBytes: 0,
      downloadedBytes: 0,
    },
    {
      name: 'later-state',
      state: 'draining',
      lastReportAt: now,
      live: 1,
      ended: 0,
      toDownloadBytes: 0,
      downloadedBytes: 0,
    },
  ] as NodeStatus[];

const malformedPods = (): PodStatus[] =>
  [
    {
      namespace: LONG_NAME.slice(0, 63),
      podName: LONG_NAME.slice(0, 253),
      uid: 'u2',
      nodeName: NODE,
      ready: false,
      moving: false,
      summary: `waits for 2 images: ${MARKUP} is verifying`,
      images: [
        {
          container: 'app',
          kind: 'later-kind',
          image: `registry.example/${LONG_NAME}:1`,
          state: 'verifying',
        },
        {
          container: '',
          kind: 'container',
          image: MARKUP,
          state: 'failed',
          failure: { reason: 'quota_of_the_cloud' },
        },
      ],
    },
  ] as unknown as PodStatus[];

const base = storyFromPlan({ name: 'hostile', description: '' }, () =>
  plan('hostile', [node(NODE), node('worker-b-13')], []),
);

export const hostile = derivedStory(
  base,
  {
    name: 'hostile',
    description: 'Malformed data: unknown words, odd ids and times, markup, very long names',
  },
  (world, t, origin) => ({
    ...world,
    rows: malformedRows(clockFrom(origin)),
    nodes: malformedNodes(world.nodes, clockFrom(origin)(t)),
    pods: malformedPods(),
  }),
);
