// The page follows a simulated server through disconnects, restarts and errors without being
// reloaded.

import { afterAll, afterEach, expect, test } from 'vitest';
import { FakeServer, type ServerOptions } from '../../sim/server';
import type { PullStatus } from '../../src/api/gen/wire';
import { BUTTON, REGION } from '../names';
import {
  accessibility,
  connectionState,
  goTo,
  type OpenedPage,
  openPage,
  rows,
  shutdown,
  syncState,
  waitForMessage,
  waitUntil,
} from './browser';
import { expectRows, TABLE, TALL } from './expectRows';

let server: FakeServer;
let opened: OpenedPage | undefined;

afterEach(async () => {
  await opened?.close();
  opened = undefined;
  await server.stop();
});
afterAll(shutdown);

const page = () => {
  if (!opened) throw new Error('no open page');
  return opened.page;
};

/** Opens the pulls table on a story and waits for the snapshot. */
async function start(options: ServerOptions, hash = TABLE): Promise<void> {
  server = new FakeServer(options);
  opened = await openPage((await server.start()) + hash, TALL);
  await waitUntil('snapshot loaded', async () => (await syncState(page())) === 'synced');
}

const serverRows = () => server.feed.world.rows as PullStatus[];
const expectServerRows = () => expectRows(page(), serverRows);
const problems = async () => opened?.problems();

/** Waits until the connection is lost for this reason and the banner is shown. */
async function waitForBanner(reason: string): Promise<void> {
  await page().locator(`[data-connection][data-loss="${reason}"]`).waitFor();
  await page().getByRole('region', { name: REGION.connection }).waitFor();
}

test('progress never decreases from queue to end', async () => {
  await start({ story: 'queued', startAt: 0.5 });
  const last = new Map<string, number>();
  for (let t = 0.5; t <= 45; t += 3) {
    server.feed.advanceTo(t);
    await expectServerRows();
    for (const row of await rows(page())) {
      const now = Number.parseInt(row.percent || '100', 10);
      if (Number.isNaN(now)) continue;
      expect(now, `${row.image} at ${t} s`).toBeGreaterThanOrEqual(last.get(row.id) ?? 0);
      last.set(row.id, now);
    }
  }
  expect((await rows(page())).map((row) => row.phase)).toEqual(Array(5).fill('completed'));
  expect(server.loads).toBe(1);
  expect(await problems()).toEqual([]);
});

test('stream resumes without a snapshot after a disconnect', async () => {
  await start({ story: 'shared-layer' });
  server.feed.disconnect();
  server.feed.advanceTo(16);
  await waitUntil('stream requested again', () => server.feed.resumeIds.length === 2);
  expect(server.feed.resumeIds[1]).toMatch(/^e1-\d+$/);
  await expectServerRows();
  expect(await connectionState(page())).toBe('live');
  expect(await problems()).toEqual([]);
});

test('stream gets a snapshot after a long disconnect', async () => {
  await start({ story: 'shared-layer' });
  server.feed.disconnect();
  for (let t = 15; t < 40; t += 0.1) server.feed.advanceTo(t);
  await waitUntil('stream requested again', () => server.feed.resumeIds.length === 2);
  await expectServerRows();
  expect(await problems()).toEqual([]);
});

test('rows survive a server restart without reload', async () => {
  await start({ story: 'trickling' });
  await expectServerRows();
  const port = Number(new URL(page().url()).port);
  const before = await rows(page());
  await server.stop();
  await waitForBanner('unreachable');
  expect(await connectionState(page())).toBe('lost');
  expect(await accessibility(page())).toEqual([]);
  const whileAway = await rows(page());
  expect(whileAway.map((row) => [row.id, row.percent])).toEqual(before.map((row) => [row.id, row.percent]));

  // The new server has no state, and no agent has reported yet.
  server = new FakeServer({ story: 'trickling', epoch: 'e2', startAt: 44, reportingNodes: [] });
  await server.start(port);
  await waitUntil('page is live', async () => (await connectionState(page())) === 'live');
  await waitUntil('live rows are stale', async () => {
    const live = (await rows(page())).filter((row) => row.percent !== '');
    return live.length > 0 && live.every((row) => row.state === 'unseen');
  });
  expect((await rows(page())).map((row) => row.id).sort()).toEqual(before.map((row) => row.id).sort());

  server.feed.nodesReport(['worker-b-19']);
  server.feed.nodesReport(['worker-a-12', 'worker-c-20']);
  server.feed.advanceTo(45);
  await expectServerRows();
  expect(server.loads).toBe(0);
  expect(await problems()).toEqual([]);
});

test('invalid frames change nothing', async () => {
  await start({ story: 'shared-layer' });
  server.feed.sendRaw('frame', '{"seq":');
  server.feed.sendRaw(
    'frame',
    '{"seq":1,"rows":[null,"a",{"id":7},{"id":"x","phase":"queued"}],"up":[{"id":1},[99]]}',
  );
  server.feed.sendRaw('some-day', '{}');
  server.feed.advanceTo(16);
  // An outdated frame is dropped.
  const [first] = serverRows();
  server.feed.sendRaw(
    'frame',
    JSON.stringify({ seq: 1, now: server.feed.world.server.now, rm: [first?.id] }),
  );
  server.feed.advanceTo(17);
  await expectServerRows();
  expect(await connectionState(page())).toBe('live');
  expect(await problems()).toEqual([]);
});

test.each([
  [401, 'unauthorized'],
  [403, 'forbidden'],
  [503, 'unavailable'],
])('status %i shows a banner until it clears', async (status, reason) => {
  server = new FakeServer({ story: 'shared-layer' });
  server.feed.status = status;
  opened = await openPage((await server.start()) + TABLE, TALL);
  await waitForBanner(reason);
  expect(await rows(page())).toEqual([]);
  expect(await accessibility(page())).toEqual([]);
  server.feed.status = 200;
  await waitUntil('page is live', async () => (await connectionState(page())) === 'live');
  await expectServerRows();
  expect(await problems()).toEqual([]);
});

test('page works under any base path', async () => {
  await start({ story: 'shared-layer', base: '/clusters/eu/pulltrace/' });
  await expectServerRows();
  for (const screen of ['#/', '#/images', '#/nodes', '#/failures']) await goTo(page(), screen);
  expect(server.loads).toBe(1);
  expect(await problems()).toEqual([]);
});

test('empty page updates when the first agent reports', async () => {
  await start({ story: 'idle', reportingNodes: [] }, '#/');
  await waitForMessage(page(), 'no-agents');
  server.feed.nodesReport(['worker-a-12']);
  await waitForMessage(page(), 'idle');
  expect(await problems()).toEqual([]);
});

test('paused page counts changes and applies them', async () => {
  await start({ story: 'one-pull' });
  await expectServerRows();
  const percent = async () => (await rows(page()))[0]?.percent;
  const before = await percent();
  await page().getByRole('button', { name: BUTTON.pause }).click();
  server.feed.advanceTo(25);
  await page().locator('[data-field="held"]').getByText(/\b1 /).waitFor();
  expect(await percent()).toBe(before);
  await page().getByRole('button', { name: BUTTON.resume }).click();
  await expectServerRows();
  expect(await percent()).not.toBe(before);
  expect(await problems()).toEqual([]);
});

test('page reports server restarts and updates', async () => {
  await start({ story: 'page-older-than-server' }, '#/');
  await waitUntil('server status loaded', () => (server.feed.requestCounts.get('server') ?? 0) > 0);
  server.feed.advanceTo(0);
  await waitForMessage(page(), 'update');
  expect(server.loads).toBe(1);
  await opened?.close();
  await server.stop();

  await start({ story: 'server-restarted' }, '#/');
  await waitUntil('server status loaded', () => (server.feed.requestCounts.get('server') ?? 0) > 0);
  server.feed.advanceTo(0);
  await page().locator('[data-message="restarted"] time').getByText('03:55 UTC').waitFor();
  expect(server.loads).toBe(1);
  expect(await problems()).toEqual([]);
});

test('50,000 pulls render only visible rows', async () => {
  await start({ story: 'crowd' }, '#/pulls');
  await page().locator('[data-field="count"]').getByText('50,000', { exact: true }).waitFor();
  const elements = await page().evaluate(() => document.querySelectorAll('*').length);
  expect(elements).toBeLessThan(3_000);
  expect(await problems()).toEqual([]);
});
