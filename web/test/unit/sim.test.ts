// @vitest-environment node

// Checks that the simulation is deterministic and consistent with a real server.

import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { REASONS } from '../../sim/failures';
import { FakeServer } from '../../sim/server';
import { STORIES, storyByName } from '../../sim/stories';
import type { PullStatus } from '../../src/api/gen/wire';
import { INITIAL_STATE, parseChunk } from '../../src/live/sse';
import { FLUSH_MS, Store } from '../../src/live/store';

/** Malformed, incomplete or too large to check at every sample. */
const EXCLUDED = ['hostile', 'first-load', 'crowd'];
/** Number of times at which a story is checked. */
const SAMPLES = 30;
// Simulating a large cluster takes time on a busy machine.
vi.setConfig({ testTimeout: 60_000 });
const regularStories = STORIES.filter(({ name }) => !EXCLUDED.includes(name));

test('stories have unique names and valid times', () => {
  const names = STORIES.map(({ name }) => name);
  expect(new Set(names).size).toBe(names.length);
  for (const { name, description, viewAt, until } of STORIES) {
    expect(until, name).toBeGreaterThan(viewAt);
    expect(description, name).not.toBe('');
  }
});

describe.each(STORIES.map((story) => [story.name, story] as const))('%s', (_, story) => {
  test('world is deterministic', () => {
    const first = story.world(story.viewAt);
    story.world(story.viewAt + 7);
    expect(story.world(story.viewAt)).toEqual(first);
  });
});

describe.each(regularStories.map((story) => [story.name, story] as const))('%s', (_, story) => {
  test('pulls stay consistent over time', () => {
    const before = new Map<string, PullStatus>();
    const problems: string[] = [];
    for (let look = 0; look < SAMPLES; look += 1) {
      const { rows, nodes } = story.world(
        story.viewAt - 30 + (look / SAMPLES) * (story.until - story.viewAt + 30),
      );
      const ids = new Set(rows.map((row) => row.id));
      const live = rows.filter((row) => !row.outcome);
      for (const row of rows) {
        problems.push(...violations(row, before.get(row.id)));
        const behind = row.waitingOn?.kind === 'kubelet_queue' ? row.waitingOn.pull : undefined;
        if (behind && !ids.has(behind)) problems.push(`${row.id} waits for a missing pull`);
        before.set(row.id, row);
      }
      if (ids.size !== rows.length) problems.push('duplicate id');
      if (new Set(rows.map((row) => row.row)).size !== rows.length) problems.push('duplicate row number');
      const counted = nodes.reduce((sum, node) => sum + node.live, 0);
      if (counted !== live.length) problems.push(`${counted} live pulls on nodes but ${live.length} rows`);
    }
    expect(problems).toEqual([]);
  });
});

/** Invariants that a server never violates. `before` is the same pull earlier. */
function violations(row: PullStatus, before: PullStatus | undefined): string[] {
  const {
    percent = 0,
    downloadedBytes = 0,
    toDownloadBytes = 0,
    extractedBytes = 0,
    toExtractBytes = 0,
  } = row;
  const faults = {
    'percent decreases': percent < (before?.percent ?? 0),
    'percent is 100 but not completed': (percent === 100) !== (row.outcome === 'completed'),
    'bytes decrease': downloadedBytes < (before?.downloadedBytes ?? 0),
    'more bytes than the total': row.totalKnown && downloadedBytes > toDownloadBytes,
    'more extracted than the total': extractedBytes > toExtractBytes,
    'outcome without end time': (row.outcome === undefined) !== (row.completedAt === undefined),
    'outcome changes': before?.outcome !== undefined && before.outcome !== row.outcome,
    'failure without failed outcome': row.failure !== undefined && row.outcome !== 'failed',
    'speed after the end': row.outcome !== undefined && row.bytesPerSec !== undefined,
    'extracting before the download ended': row.phase === 'extracting' && downloadedBytes < toDownloadBytes,
    'layer count mismatch': row.layers !== undefined && row.layers.length !== row.layerCount,
    'more downloads than slots':
      (row.layers ?? []).filter((layer) => layer.state === 'downloading').length > 3,
    'two layers extracted at once':
      (row.layers ?? []).filter((layer) => layer.state === 'extracting').length > 1,
  };
  return Object.entries(faults)
    .filter(([, is]) => is)
    .map(([fault]) => `${row.id}: ${fault}`);
}

test('stories cover every phase, state and reason', () => {
  const rows = regularStories.flatMap((story) =>
    [0, 3, 9].flatMap((later) => story.world(story.viewAt + later).rows as PullStatus[]),
  );
  const seen = (of: (row: PullStatus) => (string | undefined)[]): Set<string> =>
    new Set(rows.flatMap(of).filter((word) => word !== undefined));
  expect([...seen((row) => [row.failure?.reason])].sort()).toEqual([...REASONS].sort());
  expect([...seen((row) => [row.phase])].sort()).toEqual(
    [
      'cancelled',
      'completed',
      'downloading',
      'extracting',
      'failed',
      'queued',
      'resolving',
      'unknown',
    ].sort(),
  );
  expect([...seen((row) => (row.layers ?? []).map((layer) => layer.state))].sort()).toEqual(
    ['cached', 'complete', 'downloaded', 'downloading', 'extracting', 'remote', 'waiting'].sort(),
  );
  expect(
    [
      ...seen((row) => [row.waitingOn, ...(row.layers ?? []).map((l) => l.waitingOn)].map((on) => on?.kind)),
    ].sort(),
  ).toEqual(['download_slot', 'kubelet_queue', 'parent_layer', 'registry', 'shared_layer'].sort());
});

const firstRow = (name: string): PullStatus => {
  const story = storyByName(name);
  return story.world(story.viewAt).rows[0] as PullStatus;
};

test('story shows its state at view time', () => {
  expect(firstRow('one-pull')).toMatchObject({ phase: 'downloading', totalKnown: true, layerCount: 12 });
  expect(firstRow('size-unknown')).toMatchObject({ phase: 'downloading', totalKnown: false });
  expect(firstRow('size-unknown').percent).toBeUndefined();
  expect(firstRow('extracting')).toMatchObject({ phase: 'extracting' });
  expect(firstRow('stalled')).toMatchObject({
    phase: 'downloading',
    stalledSince: expect.any(String),
    bytesPerSec: 0,
  });
  expect(storyByName('trickling').world(40).rows).toContainEqual(
    expect.objectContaining({ slow: true, phase: 'downloading' }),
  );
  expect(firstRow('cancelled')).toMatchObject({ outcome: 'cancelled' });
  expect(firstRow('unknown-outcome')).toMatchObject({ outcome: 'unknown' });
  expect(firstRow('fully-cached')).toMatchObject({ outcome: 'completed', toDownloadBytes: 0 });
  expect(firstRow('lazy').layers?.filter((layer) => layer.state === 'remote').length).toBeGreaterThan(5);
  expect(
    storyByName('queued')
      .world(9)
      .rows.filter((row) => row.phase === 'queued'),
  ).toHaveLength(4);
  expect(
    storyByName('shared-layer')
      .world(15)
      .rows.some((row) => row.waitingOn?.kind === 'shared_layer'),
  ).toBe(true);
  expect(
    storyByName('node-silent')
      .world(50)
      .rows.filter((row) => row.staleSince),
  ).toHaveLength(2);
  expect(
    storyByName('pods-off')
      .world(0)
      .rows.some((row) => row.pods),
  ).toBe(false);
  expect(storyByName('crowd').world(0).rows).toHaveLength(50_000);
  expect(storyByName('idle').world(0)).toMatchObject({ rows: [], pods: [] });
  expect(storyByName('no-agents').world(0).nodes).toEqual([]);
  const pod = storyByName('init-pod')
    .world(38)
    .pods.find((each) => each.nodeName === 'worker-a-12');
  expect(pod?.images.map(({ kind }) => kind)).toEqual([
    'volume',
    'init',
    'sidecar',
    'container',
    'container',
  ]);
  expect(new Set(pod?.images.map(({ state }) => state))).toContain('pending');
});

describe('simulated server', () => {
  let server: FakeServer;
  let url: string;

  const start = async (options: ConstructorParameters<typeof FakeServer>[0]): Promise<void> => {
    server = new FakeServer(options);
    url = await server.start();
  };
  beforeEach(() =>
    vi.useFakeTimers({
      now: Date.parse('2026-11-24T03:56:00Z'),
      toFake: ['setTimeout', 'Date', 'performance'],
    }),
  );
  afterEach(async () => {
    await server.stop();
    vi.useRealTimers();
  });

  const get = async (path: string): Promise<{ status: number; body: Record<string, unknown> }> => {
    const response = await fetch(`${url}api/v1/${path}`);
    return { status: response.status, body: (await response.json()) as Record<string, unknown> };
  };

  /** Reads the stream into a store until `until` returns true. */
  async function follow(store: Store): Promise<{ until: (holds: () => boolean) => Promise<void> }> {
    const response = await fetch(`${url}api/v1/events?format=frame&layers=none`);
    const reader = (response.body as ReadableStream<Uint8Array>).getReader();
    const decoder = new TextDecoder();
    let pending = INITIAL_STATE;
    return {
      until: async (holds) => {
        while (!holds()) {
          const { value, done } = await reader.read();
          if (done) throw new Error('stream ended');
          const [rest, events] = parseChunk(pending, decoder.decode(value, { stream: true }));
          pending = rest;
          for (const { event, data, id } of events) store.handleEvent(event, data, id);
        }
      },
    };
  }

  const shown = (store: Store): PullStatus[] =>
    [...store.dataset().rows.values()].sort((a, b) => (a.id < b.id ? -1 : 1));
  const serverRows = (): PullStatus[] =>
    server.feed.world.rows.map(({ layers: _, ...row }) => row).sort((a, b) => (a.id < b.id ? -1 : 1));

  test('streams its whole world without layers', async () => {
    await start({ story: 'rollout' });
    const store = new Store();
    const stream = await follow(store);
    await stream.until(() => store.resumeId() === `e1-1`);
    for (let t = 1; t <= 12; t += 1) server.feed.advanceTo(t * 0.75);
    await stream.until(() => store.resumeId() === `e1-13`);
    vi.advanceTimersByTime(FLUSH_MS);
    expect(shown(store)).toEqual(serverRows());
    expect(store.dropCounts).toEqual({ invalid: 0, unknownRows: 0, outOfOrder: 0 });
  });

  test('resumes a reader and resets another epoch', async () => {
    await start({ story: 'one-pull' });
    server.feed.advanceTo(15);
    const text = async (since: string): Promise<string> => {
      const response = await fetch(`${url}api/v1/events?format=frame&since=${since}`);
      const reader = (response.body as ReadableStream<Uint8Array>).getReader();
      let all = '';
      while (!all.includes('event: frame')) all += new TextDecoder().decode((await reader.read()).value);
      await reader.cancel();
      return all;
    };
    expect(await text('e1-1')).not.toContain('event: reset');
    expect(await text('e0-1')).toContain('event: reset');
    expect(server.feed.resumeIds).toEqual(['e1-1', 'e0-1']);
  });

  test('serves the API endpoints', async () => {
    await start({ story: 'init-pod', base: '/some/path/' });
    const { rows, pods } = server.feed.world;
    const ids = rows.slice(0, 2).map((row) => row.id);
    const some = await get(`pulls?id=${ids.map(encodeURIComponent).join(',')}&layers=embed`);
    expect(some.body).toMatchObject({ epoch: 'e1', pulls: rows.slice(0, 2) });
    expect((await get('server')).body).toMatchObject({
      clusterName: 'prod-eu-west-1',
      throughput: { stepSeconds: 2 },
    });
    const [pod] = pods;
    expect((await get(`namespaces/${pod?.namespace}/pods/${pod?.podName}/pulls`)).body).toMatchObject({
      pod,
    });
    expect((await get('namespaces/none/pods/none/pulls')).status).toBe(404);
    expect((await get('nothing')).body).toMatchObject({ status: 404, reason: 'not_found' });
    server.feed.status = 503;
    expect((await get('nodes')).body).toMatchObject({ status: 503, title: expect.any(String) });
  });

  test('has no pods without a pod source', async () => {
    await start({ story: 'pods-off' });
    const path = 'namespaces/shop/pods/web/pulls';
    expect((await get(path)).body).toMatchObject({ status: 400, reason: 'not_available' });
    await server.stop();
    await start({ story: 'pods-forbidden' });
    expect((await get(path)).body).toMatchObject({ status: 503, detail: expect.any(String) });
  });
});
