// A snapshot of 50,000 pulls, more than any cluster has.

import type { NodeStatus, PullStatus } from '../../src/api/gen/wire';
import { imageByRef } from '../catalogue';
import { node, plan } from '../plan';
import { random, randomBetween, randomInt } from '../random';
import { Cluster, clockFrom, ORIGIN, type World } from '../world';
import type { Story } from './story';

const PULLS = 50_000;
const NODES = 500;
/** One in this many pulls is live. */
const LIVE_EVERY = 25;

const IMAGES = [
  'ghcr.io/acme/checkout:8f3c2d1',
  'ghcr.io/acme/payments-api:1.42.0',
  'ghcr.io/acme/search-indexer:0.31.2',
  'public.ecr.aws/acme/batch-worker:2026.11.23',
  'docker.io/grafana/grafana:12.2.1',
  'quay.io/cilium/cilium:v1.18.4',
].map(imageByRef);

const nodeName = (index: number): string => `worker-${String((index % NODES) + 1).padStart(3, '0')}`;

function rowOf(index: number, origin: number): PullStatus {
  const clock = clockFrom(origin);
  const image = IMAGES[index % IMAGES.length] as (typeof IMAGES)[number];
  const totalBytes = image.layers.reduce((sum, { size }) => sum + size, 0);
  const live = index % LIVE_EVERY === 0;
  const start = live ? randomBetween(-60, 0, 'crowd', index) : randomBetween(-1700, -60, 'crowd', index);
  const share = live ? random('crowd share', index) * 0.9 : 1;
  const failed = !live && random('crowd failed', index) < 0.002;
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
    layersDone: randomInt(0, image.layers.length - 1, 'crowd done', index),
  };
  if (live) {
    return {
      ...base,
      phase: 'downloading',
      percent: share * 90,
      bytesPerSec: Math.floor(randomBetween(1e6, 9e7, 'crowd speed', index)),
    };
  }
  const completedAt = clock(start + randomBetween(1, 50, 'crowd took', index));
  if (failed) {
    const failure = { reason: 'no_space' as const };
    return { ...base, phase: 'failed', outcome: 'failed', completedAt, failure };
  }
  const complete = {
    percent: 100,
    downloadedBytes: totalBytes,
    extractedBytes: totalBytes,
    layersDone: base.layerCount,
  };
  return { ...base, ...complete, phase: 'completed', outcome: 'completed', completedAt };
}

function nodesOf(rows: readonly PullStatus[], nodes: readonly NodeStatus[]): NodeStatus[] {
  const live = new Map<string, PullStatus[]>();
  for (const row of rows) if (!row.outcome) live.set(row.nodeName, [...(live.get(row.nodeName) ?? []), row]);
  return nodes.map((each) => {
    const nodeRows = live.get(each.name) ?? [];
    const sum = (value: (row: PullStatus) => number | undefined): number =>
      nodeRows.reduce((total, row) => total + (value(row) ?? 0), 0);
    return {
      ...each,
      live: nodeRows.length,
      ended: PULLS / NODES - nodeRows.length,
      toDownloadBytes: sum((row) => row.toDownloadBytes),
      downloadedBytes: sum((row) => row.downloadedBytes),
      bytesPerSec: sum((row) => row.bytesPerSec),
    };
  });
}

/** Only the clock advances, so rows are created once. */
function createCrowd(): (t: number, origin: number) => World {
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

let crowdWorld: ReturnType<typeof createCrowd> | undefined;

export const crowd: Story = {
  name: 'crowd',
  description: 'A snapshot of 50,000 pulls on 500 nodes',
  viewAt: 0,
  until: 60,
  world: (t, origin = ORIGIN) => {
    crowdWorld ??= createCrowd();
    return crowdWorld(t, origin);
  },
};
