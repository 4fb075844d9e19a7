// More pulls than any cluster has: a snapshot of 50,000.

import type { NodeStatus, PullStatus } from '../../src/api/gen/wire';
import { imageOf } from '../catalogue';
import { node, plan } from '../plan';
import { between, chance, whole } from '../random';
import { Cluster, clockFrom, ORIGIN, type World } from '../world';
import type { Story } from './story';

const PULLS = 50_000;
const NODES = 500;
/** One in so many is going on. */
const LIVE = 25;

const IMAGES = [
  'ghcr.io/acme/checkout:8f3c2d1',
  'ghcr.io/acme/payments-api:1.42.0',
  'ghcr.io/acme/search-indexer:0.31.2',
  'public.ecr.aws/acme/batch-worker:2026.11.23',
  'docker.io/grafana/grafana:12.2.1',
  'quay.io/cilium/cilium:v1.18.4',
].map(imageOf);

const nodeName = (index: number): string => `worker-${String((index % NODES) + 1).padStart(3, '0')}`;

function rowOf(index: number, origin: number): PullStatus {
  const clock = clockFrom(origin);
  const image = IMAGES[index % IMAGES.length] as (typeof IMAGES)[number];
  const totalBytes = image.layers.reduce((sum, { size }) => sum + size, 0);
  const live = index % LIVE === 0;
  const start = live ? between(-60, 0, 'crowd', index) : between(-1700, -60, 'crowd', index);
  const share = live ? chance('crowd share', index) * 0.9 : 1;
  const failed = !live && chance('crowd failed', index) < 0.002;
  const base = {
    id: `lease~${nodeName(index)}~k8s.io~${index}-crowd~${origin + Math.round(start * 1000)}000000`,
    row: index + 1,
    nodeName: nodeName(index),
    imageRef: image.ref,
    rootDigest: image.rootDigest,
    startedAt: clock(start),
    totalKnown: true,
    totalBytes,
    cachedBytes: 0,
    toDownloadBytes: totalBytes,
    downloadedBytes: Math.floor(totalBytes * share),
    toExtractBytes: totalBytes,
    extractedBytes: Math.floor(totalBytes * share * 0.6),
    layerCount: image.layers.length,
    layersDone: whole(0, image.layers.length - 1, 'crowd done', index),
  };
  if (live) {
    return {
      ...base,
      phase: 'downloading',
      percent: share * 90,
      bytesPerSec: Math.floor(between(1e6, 9e7, 'crowd speed', index)),
    };
  }
  const completedAt = clock(start + between(1, 50, 'crowd took', index));
  if (failed) {
    const failure = { reason: 'no_space' as const };
    return { ...base, phase: 'failed', outcome: 'failed', completedAt, failure };
  }
  const whole_ = {
    percent: 100,
    downloadedBytes: totalBytes,
    extractedBytes: totalBytes,
    layersDone: base.layerCount,
  };
  return { ...base, ...whole_, phase: 'completed', outcome: 'completed', completedAt };
}

function nodesOf(rows: readonly PullStatus[], known: readonly NodeStatus[]): NodeStatus[] {
  const live = new Map<string, PullStatus[]>();
  for (const row of rows) if (!row.outcome) live.set(row.nodeName, [...(live.get(row.nodeName) ?? []), row]);
  return known.map((each) => {
    const own = live.get(each.name) ?? [];
    const sum = (of: (row: PullStatus) => number | undefined): number =>
      own.reduce((total, row) => total + (of(row) ?? 0), 0);
    return {
      ...each,
      live: own.length,
      ended: PULLS / NODES - own.length,
      toDownloadBytes: sum((row) => row.toDownloadBytes),
      downloadedBytes: sum((row) => row.downloadedBytes),
      bytesPerSec: sum((row) => row.bytesPerSec),
    };
  });
}

/** Nothing of it moves but the clock, so it is made once. */
function crowdAt(): (t: number, origin: number) => World {
  const cluster = new Cluster(
    plan(
      'crowd',
      Array.from({ length: NODES }, (_, i) => node(nodeName(i))),
      [],
    ),
  );
  let made: { origin: number; rows: PullStatus[]; nodes: NodeStatus[] } | undefined;
  return (t, origin) => {
    const world = cluster.at(t, origin);
    if (made?.origin !== origin) {
      const rows = Array.from({ length: PULLS }, (_, index) => rowOf(index, origin));
      made = { origin, rows, nodes: nodesOf(rows, world.nodes) };
    }
    return { ...world, rows: made.rows, nodes: made.nodes };
  };
}

let at: ReturnType<typeof crowdAt> | undefined;

export const crowd: Story = {
  name: 'crowd',
  shows: 'A snapshot of 50,000 pulls on 500 nodes',
  from: 0,
  until: 60,
  world: (t, origin = ORIGIN) => {
    at ??= crowdAt();
    return at(t, origin);
  },
};
