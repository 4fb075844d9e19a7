import { expect, test } from 'vitest';
import type { PodLink, PullStatus } from '../../src/api/gen/wire';
import { durationStats, lastEnded } from '../../src/model/ended';
import {
  type DotState,
  findRollouts,
  limitDots,
  type Rollout,
  type RolloutGrouping,
  RolloutOrder,
  type RolloutSummary,
  summarizeRollout,
} from '../../src/model/groups';
import { findIssues } from '../../src/model/issues';
import { at, ended, pull } from './fixtures';

const NOW = Date.parse(at(100));
const APP = 'registry.example/team/app:1.0';
const link = (podName: string, namespace = 'shop'): PodLink => ({
  namespace,
  podName,
  uid: podName,
  container: 'c',
  image: APP,
});
const on = (nodeName: string, more: Partial<PullStatus> = {}) =>
  pull(`app-${nodeName}`, { imageRef: APP, nodeName, startedAt: at(90), ...more });
const done = (nodeName: string, start: number, end: number) =>
  ended(`app-${nodeName}`, { imageRef: APP, nodeName, startedAt: at(start), completedAt: at(end) });
const groups = (rows: PullStatus[], by: RolloutGrouping, now: number): RolloutSummary[] =>
  findRollouts(rows, by, now).map(summarizeRollout);
const only = (rows: PullStatus[], by: RolloutGrouping = 'image'): RolloutSummary => {
  const found = groups(rows, by, NOW);
  expect(found).toHaveLength(1);
  return found[0] as RolloutSummary;
};

test('rollout includes recently ended pulls, one per node', () => {
  const found = only([
    on('n1', { percent: 50, downloadedBytes: 600, extractedBytes: 200, bytesPerSec: 10, etaSeconds: 4 }),
    done('n2', 40, 80),
    // Ended less than two minutes before the others started.
    done('n3', -60, 20),
    // Only the last pull of a node counts.
    ended('again', { imageRef: APP, nodeName: 'n2', startedAt: at(20), completedAt: at(30) }),
    // Another rollout.
    done('n4', -900, -800),
  ]);
  expect(found).toMatchObject({ live: 1, ready: 2, all: 3, speed: 10, nodes: ['n1'], queued: 0 });
  expect(found.dots).toMatchObject({ ready: 2, downloading: 1 });
  expect(found.downloaded).toBeCloseTo(2.6 / 3);
  expect(found.extracted).toBeCloseTo(2.2 / 3);
  expect(found.percent).toBeCloseTo(250 / 3);
});

test('unknown sizes count as the average of others', () => {
  const queued = (node: string) =>
    on(node, {
      phase: 'queued',
      totalKnown: false,
      toDownloadBytes: undefined,
      downloadedBytes: undefined,
    } as Partial<PullStatus>);
  const half = only([done('n1', 80, 95), queued('n2')]);
  expect(half).toMatchObject({ downloaded: 0.5, extracted: 0.5, percent: 50, queued: 1, ready: 1, all: 2 });
  const none = only([queued('n1'), queued('n2')]);
  expect(none).toMatchObject({ downloaded: undefined, extracted: undefined, percent: undefined, queued: 2 });
  expect(none.speed).toBeUndefined();
});

test('percent is 100 only when all pulls completed', () => {
  const almost = on('n1', { percent: 99.9, downloadedBytes: 1000, extractedBytes: 1000 });
  expect(only([almost]).percent).toBeLessThanOrEqual(99);
  const failed = ended('f', {
    imageRef: APP,
    nodeName: 'n2',
    phase: 'failed',
    outcome: 'failed',
    completedAt: at(95),
  });
  expect(only([almost, failed]).dots).toMatchObject({ failed: 1, downloading: 1 });
});

test('completed rollout lingers, a failed one does not', () => {
  expect(only([done('n1', 90, 95)])).toMatchObject({ live: 0, ready: 1, all: 1, percent: 100 });
  expect(groups([done('n1', 80, 90)], 'image', NOW)).toEqual([]);
  const failed = ended('f', { outcome: 'failed', phase: 'failed', completedAt: at(99) });
  expect(groups([failed], 'image', NOW)).toEqual([]);
});

test('straggler is the stalled pull, else longest ETA', () => {
  const slow = on('n2', { etaSeconds: 30, slow: true });
  const rows = [on('n1', { etaSeconds: 5 }), slow, on('n3', { etaSeconds: 99, staleSince: at(95) })];
  expect(only(rows).straggler).toEqual({ pull: slow, etaSeconds: 30, trouble: 'slow' });
  const stalled = on('n4', { etaSeconds: 1, stalledSince: at(50) });
  expect(only([...rows, stalled]).straggler).toEqual({
    pull: stalled,
    etaSeconds: undefined,
    trouble: 'stalled',
  });
  expect(only([on('n3', { staleSince: at(95), bytesPerSec: 5 })])).toMatchObject({
    straggler: undefined,
    speed: undefined,
    dots: { unseen: 1 },
  });
});

test('groups count live pulls and distinct pods', () => {
  const rows = [
    on('n1', { pods: [link('a'), link('b'), link('c', 'ml')] }),
    on('n2', { pods: [link('a'), link('a')] }),
    pull('x', { nodeName: 'n1', startedAt: at(90) }),
  ];
  const keys = (by: RolloutGrouping) =>
    groups(rows, by, NOW)
      .map(({ key, live, pods }) => [key, live, pods])
      .sort();
  expect(keys('node')).toEqual([
    ['n1', 2, 3],
    ['n2', 1, 1],
  ]);
  expect(keys('namespace')).toEqual([
    ['', 1, 0],
    ['ml', 1, 3],
    ['shop', 2, 3],
  ]);
  expect(keys('pod').map(([key, live]) => [key, live])).toEqual([
    ['', 1],
    ['ml/c', 1],
    ['shop/a', 2],
    ['shop/b', 1],
  ]);
});

test('rollouts keep positions, new ones come last', () => {
  const row = (key: string, remainingBytes: number, since = 0) => ({ key, remainingBytes, since }) as Rollout;
  const order = new RolloutOrder();
  const keys = (found: Rollout[]) => order.sort(found).map(({ key }) => key);
  expect(keys([row('small', 1), row('', 99), row('big', 9)])).toEqual(['big', 'small', '']);
  expect(keys([row('new', 50, 2), row('small', 8), row('newer', 70, 3), row('big', 2)])).toEqual([
    'big',
    'small',
    'new',
    'newer',
  ]);
  expect(keys([row('newer', 1), row('small', 1)])).toEqual(['small', 'newer']);
});

test('ready dots are dropped first when limited', () => {
  const dots: Record<DotState, number> = {
    ready: 30,
    extracting: 2,
    downloading: 3,
    stalled: 1,
    unseen: 0,
    waiting: 4,
    failed: 1,
  };
  expect(limitDots(dots, 50)).toEqual({ shown: dots, rest: 0 });
  expect(limitDots(dots, 20)).toEqual({ shown: { ...dots, ready: 9 }, rest: 21 });
  expect(limitDots(dots, 5)).toEqual({
    shown: { ...dots, ready: 0, waiting: 0, downloading: 1 },
    rest: 36,
  });
});

test('finds latest ended pulls and duration percentiles', () => {
  const rows = [5, 1, 9, 3].map((end) => ended(`e${end}`, { completedAt: at(end) }));
  expect(lastEnded([pull('live'), ...rows], 3).map(({ id }) => id)).toEqual(['e9', 'e5', 'e3']);
  expect(lastEnded([], 3)).toEqual([]);
  const times = Array.from({ length: 100 }, (_, index) =>
    ended(`t${index}`, { completedAt: at(100 - index) }),
  );
  const failed = ended('f', { outcome: 'failed', completedAt: at(900) });
  expect(durationStats([...times, failed, pull('live')])).toEqual({ pulls: 100, p50: 50, p95: 95 });
  expect(durationStats([])).toEqual({ pulls: 0, p50: undefined, p95: undefined });
});

test('stalled issues precede slow ones', () => {
  const peers = ['p1', 'p2', 'p3'].map((node, index) => on(node, { bytesPerSec: 100 + index }));
  const slower = on('n1', { bytesPerSec: 10, slow: true });
  const slow = on('n2', { bytesPerSec: 50, slow: true });
  const alone = pull('alone', { bytesPerSec: 1, slow: true });
  const long = on('n3', { stalledSince: at(1) });
  const short = on('n4', { stalledSince: at(50), slow: true });
  const unseen = on('n5', { slow: true, staleSince: at(9) });
  const found = findIssues([slow, alone, ...peers, short, slower, unseen, long]);
  expect(found.map(({ pull: { id }, kind, slowdown: times }) => [id, kind, times])).toEqual([
    ['app-n3', 'stalled', undefined],
    ['app-n4', 'stalled', undefined],
    ['app-n1', 'slow', 10.1],
    ['app-n2', 'slow', 2.02],
    ['alone', 'slow', undefined],
  ]);
  expect(findIssues(peers)).toEqual([]);
});
