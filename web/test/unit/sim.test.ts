// @vitest-environment node

// The simulation itself: always the same, and such as a server would tell it.

import { readFile } from 'node:fs/promises';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { HINTS, REASONS } from '../../sim/failures';
import { FakeServer } from '../../sim/server';
import { STORIES, storyOf } from '../../sim/stories';
import type { PullStatus } from '../../src/api/gen/wire';
import { NOTHING, parse } from '../../src/live/sse';
import { FLUSH_MS, Store } from '../../src/live/store';

/** What is wrong on purpose, not whole, or too much to look at so often. */
const ODD = ['hostile', 'first-load', 'crowd'];
/** So many moments of a story are looked at. */
const LOOKS = 30;
// A story of a large cluster takes its time on a busy machine.
vi.setConfig({ testTimeout: 60_000 });
const played = STORIES.filter(({ name }) => !ODD.includes(name));

test('stories have names of their own, and are looked at before they end', () => {
  const names = STORIES.map(({ name }) => name);
  expect(new Set(names).size).toBe(names.length);
  for (const { name, shows, from, until } of STORIES) {
    expect(until, name).toBeGreaterThan(from);
    expect(shows, name).not.toBe('');
  }
});

describe.each(STORIES.map((story) => [story.name, story] as const))('%s', (_, story) => {
  test('is the same whenever it is asked', () => {
    const first = story.world(story.from);
    story.world(story.from + 7);
    expect(story.world(story.from)).toEqual(first);
  });
});

describe.each(played.map((story) => [story.name, story] as const))('%s', (_, story) => {
  test('says of each pull what a server would', () => {
    const before = new Map<string, PullStatus>();
    const faults: string[] = [];
    for (let look = 0; look < LOOKS; look += 1) {
      const { rows, nodes } = story.world(story.from - 30 + (look / LOOKS) * (story.until - story.from + 30));
      const ids = new Set(rows.map((row) => row.id));
      const live = rows.filter((row) => !row.outcome);
      for (const row of rows) {
        faults.push(...wrong(row, before.get(row.id)));
        const behind = row.waitingOn?.kind === 'kubelet_queue' ? row.waitingOn.pull : undefined;
        if (behind && !ids.has(behind)) faults.push(`${row.id} waits for a pull that is not there`);
        before.set(row.id, row);
      }
      if (ids.size !== rows.length) faults.push('an id is there twice');
      if (new Set(rows.map((row) => row.row)).size !== rows.length) faults.push('a number is there twice');
      const counted = nodes.reduce((sum, node) => sum + node.live, 0);
      if (counted !== live.length) faults.push(`${counted} live pulls on nodes, and ${live.length} rows`);
    }
    expect(faults).toEqual([]);
  });
});

/** What a server would never say of a pull that was `before`. */
function wrong(row: PullStatus, before: PullStatus | undefined): string[] {
  const {
    percent = 0,
    downloadedBytes = 0,
    toDownloadBytes = 0,
    extractedBytes = 0,
    toExtractBytes = 0,
  } = row;
  const faults = {
    'percent goes back': percent < (before?.percent ?? 0),
    'percent is 100 of what is not completed': (percent === 100) !== (row.outcome === 'completed'),
    'bytes go back': downloadedBytes < (before?.downloadedBytes ?? 0),
    'more bytes than there are': row.totalKnown && downloadedBytes > toDownloadBytes,
    'more unpacked than there is': extractedBytes > toExtractBytes,
    'an end without its time': (row.outcome === undefined) !== (row.completedAt === undefined),
    'an outcome that is taken back': before?.outcome !== undefined && before.outcome !== row.outcome,
    'a failure of what did not fail': row.failure !== undefined && row.outcome !== 'failed',
    'a speed of what is over': row.outcome !== undefined && row.bytesPerSec !== undefined,
    'extracting with bytes to come': row.phase === 'extracting' && downloadedBytes < toDownloadBytes,
    'layers that are not counted': row.layers !== undefined && row.layers.length !== row.layerCount,
    'more layers at once than there are slots':
      (row.layers ?? []).filter((layer) => layer.state === 'downloading').length > 3,
    'two layers unpacked at once':
      (row.layers ?? []).filter((layer) => layer.state === 'extracting').length > 1,
  };
  return Object.entries(faults)
    .filter(([, is]) => is)
    .map(([fault]) => `${row.id}: ${fault}`);
}

test('each phase, state and reason is in some story', () => {
  const rows = played.flatMap((story) =>
    [0, 3, 9].flatMap((later) => story.world(story.from + later).rows as PullStatus[]),
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

test('hints are those of the server', async () => {
  const text = await readFile(new URL('../../../docs/failures.md', import.meta.url), 'utf8');
  const rows = text.matchAll(/^\| `(\w+)` \| [^|]* \| ([^|]*) \|$/gm);
  const written = Object.fromEntries(
    [...rows].map(([, word = '', hint]) => [word, hint === '–' ? undefined : hint]),
  );
  expect(HINTS).toEqual(written);
});

const first = (name: string): PullStatus => {
  const story = storyOf(name);
  return story.world(story.from).rows[0] as PullStatus;
};

test('each story of one state shows it when it is looked at', () => {
  expect(first('one-pull')).toMatchObject({ phase: 'downloading', totalKnown: true, layerCount: 12 });
  expect(first('size-unknown')).toMatchObject({ phase: 'downloading', totalKnown: false });
  expect(first('size-unknown').percent).toBeUndefined();
  expect(first('extracting')).toMatchObject({ phase: 'extracting' });
  expect(first('stalled')).toMatchObject({
    phase: 'downloading',
    stalledSince: expect.any(String),
    bytesPerSec: 0,
  });
  expect(storyOf('trickling').world(40).rows).toContainEqual(
    expect.objectContaining({ slow: true, phase: 'downloading' }),
  );
  expect(first('cancelled')).toMatchObject({ outcome: 'cancelled' });
  expect(first('unknown-outcome')).toMatchObject({ outcome: 'unknown' });
  expect(first('fully-cached')).toMatchObject({ outcome: 'completed', toDownloadBytes: 0 });
  expect(first('lazy').layers?.filter((layer) => layer.state === 'remote').length).toBeGreaterThan(5);
  expect(
    storyOf('queued')
      .world(9)
      .rows.filter((row) => row.phase === 'queued'),
  ).toHaveLength(4);
  expect(
    storyOf('shared-layer')
      .world(15)
      .rows.some((row) => row.waitingOn?.kind === 'shared_layer'),
  ).toBe(true);
  expect(
    storyOf('node-silent')
      .world(50)
      .rows.filter((row) => row.staleSince),
  ).toHaveLength(2);
  expect(
    storyOf('pods-off')
      .world(0)
      .rows.some((row) => row.pods),
  ).toBe(false);
  expect(storyOf('crowd').world(0).rows).toHaveLength(50_000);
  expect(storyOf('idle').world(0)).toMatchObject({ rows: [], pods: [] });
  expect(storyOf('no-agents').world(0).nodes).toEqual([]);
  const pod = storyOf('init-pod')
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

describe('a server of a story', () => {
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

  /** Reads the stream into a store until `until` holds. */
  async function follow(
    store: Store,
    layers: string,
  ): Promise<{ until: (holds: () => boolean) => Promise<void> }> {
    const response = await fetch(`${url}api/v1/events?format=frame&layers=${layers}`);
    const reader = (response.body as ReadableStream<Uint8Array>).getReader();
    const decoder = new TextDecoder();
    let pending = NOTHING;
    return {
      until: async (holds) => {
        while (!holds()) {
          const { value, done } = await reader.read();
          if (done) throw new Error('the stream is over');
          const [rest, events] = parse(pending, decoder.decode(value, { stream: true }));
          pending = rest;
          for (const { event, data, id } of events) store.event(event, data, id);
        }
      },
    };
  }

  const shown = (store: Store): PullStatus[] =>
    [...store.all().rows.values()].sort((a, b) => (a.id < b.id ? -1 : 1));
  const told = (layers: boolean): PullStatus[] =>
    [...server.feed.world.rows]
      .map(({ layers: all, ...row }) => (layers && all ? { ...row, layers: all } : row))
      .sort((a, b) => (a.id < b.id ? -1 : 1));

  test.each(['none', 'embed'])('tells a store all of its world, with layers=%s', async (layers) => {
    await start({ story: 'rollout' });
    const store = new Store();
    const stream = await follow(store, layers);
    await stream.until(() => store.position() === `e1-1`);
    for (let t = 1; t <= 12; t += 1) server.feed.to(t * 0.75);
    await stream.until(() => store.position() === `e1-13`);
    vi.advanceTimersByTime(FLUSH_MS);
    expect(shown(store)).toEqual(told(layers === 'embed'));
    expect(store.counts).toEqual({ notUnderstood: 0, unknownRow: 0, outOfOrder: 0 });
  });

  test('goes on where a reader was cut off, and tells one of another life to begin anew', async () => {
    await start({ story: 'one-pull' });
    server.feed.to(15);
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
    expect(server.feed.asked).toEqual(['e1-1', 'e0-1']);
  });

  test('answers questions as the real one does', async () => {
    await start({ story: 'init-pod', base: '/some/path/' });
    const { rows, pods } = server.feed.world;
    const ids = rows.slice(0, 2).map((row) => row.id);
    const some = await get(`pulls?id=${ids.map(encodeURIComponent).join(',')}&layers=none`);
    expect(some.body).toMatchObject({ epoch: 'e1', pulls: [{}, {}] });
    expect(JSON.stringify(some.body)).not.toContain('createdBy');
    expect((await get(`pulls/${encodeURIComponent(ids[0] ?? '')}`)).body).toEqual(rows[0]);
    expect((await get('pulls?limit=1')).body).toHaveProperty('continue');
    expect((await get('pulls?nodes=a')).status).toBe(400);
    expect((await get('pulls/none')).body).toMatchObject({ status: 404, reason: 'not_found' });
    expect((await get('server')).body).toMatchObject({
      clusterName: 'prod-eu-west-1',
      throughput: { stepSeconds: 2 },
    });
    expect((await get('pods')).body).toMatchObject({ cluster: { pods: 'live' }, pods });
    const [pod] = pods;
    expect((await get(`namespaces/${pod?.namespace}/pods/${pod?.podName}/pulls`)).body).toMatchObject({
      pod,
    });
    expect((await get('nothing')).status).toBe(404);
    server.feed.status = 503;
    expect((await get('nodes')).body).toMatchObject({ status: 503, title: expect.any(String) });
  });

  test('has no pods where it hears of none', async () => {
    await start({ story: 'pods-off' });
    expect((await get('pods')).body).toMatchObject({ status: 400, reason: 'not_available' });
    await server.stop();
    await start({ story: 'pods-forbidden' });
    expect((await get('pods')).body).toMatchObject({ cluster: { pods: 'forbidden' }, pods: [] });
  });
});
