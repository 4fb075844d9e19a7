// The page follows a server whose clock the test holds: over cuts, restarts and refusals, without being loaded again.

import { afterAll, afterEach, expect, test } from 'vitest';
import { FakeServer, type ServerOptions } from '../../sim/server';
import type { PullStatus } from '../../src/api/gen/wire';
import { accessibility, connection, go, type Opened, open, rows, shutdown, sync, until } from './browser';
import { showsTruth as shows, TABLE, TALL } from './truth';

let server: FakeServer;
let opened: Opened | undefined;

afterEach(async () => {
  await opened?.close();
  opened = undefined;
  await server.stop();
});
afterAll(shutdown);

const page = () => {
  if (!opened) throw new Error('no page is open');
  return opened.page;
};

/** Opens the table of pulls on a story, and waits until all of it is there. */
async function start(options: ServerOptions, hash = TABLE): Promise<void> {
  server = new FakeServer(options);
  opened = await open((await server.start()) + hash, TALL);
  await until('the snapshot is whole', async () => (await sync(page())) === 'whole');
}

const truth = () => server.feed.world.rows as PullStatus[];
const showsTruth = () => shows(page(), truth);
const faults = async () => opened?.faults();

/** Waits until the page says under its top bar why it is cut off. */
const banner = (words: string) =>
  page().getByRole('region', { name: 'Connection' }).getByText(words).waitFor();

test('five pulls are followed from their queue to their end, and no percent goes back', async () => {
  await start({ story: 'queued', t: 0.5 });
  const last = new Map<string, number>();
  for (let t = 0.5; t <= 45; t += 3) {
    server.feed.to(t);
    await showsTruth();
    for (const row of await rows(page())) {
      const now = Number.parseInt(row.percent || '100', 10);
      if (Number.isNaN(now)) continue;
      expect(now, `${row.image} at ${t} s`).toBeGreaterThanOrEqual(last.get(row.id) ?? 0);
      last.set(row.id, now);
    }
  }
  expect((await rows(page())).map((row) => row.phase)).toEqual(Array(5).fill('completed'));
  expect(server.loads).toBe(1);
  expect(await faults()).toEqual([]);
});

test('a cut connection goes on where it was, without a new snapshot', async () => {
  await start({ story: 'shared-layer' });
  server.feed.cut();
  server.feed.to(16);
  await until('the page asked again', () => server.feed.asked.length === 2);
  expect(server.feed.asked[1]).toMatch(/^e1-\d+$/);
  await showsTruth();
  expect(await connection(page())).toBe('live');
  expect(await faults()).toEqual([]);
});

test('a cut that is older than what the server remembers brings a new snapshot', async () => {
  await start({ story: 'shared-layer' });
  server.feed.cut();
  for (let t = 15; t < 40; t += 0.1) server.feed.to(t);
  await until('the page asked again', () => server.feed.asked.length === 2);
  await showsTruth();
  expect(await faults()).toEqual([]);
});

test('a server that is killed and restarted under the page loses no row and needs no reload', async () => {
  await start({ story: 'trickling' });
  await showsTruth();
  const port = Number(new URL(page().url()).port);
  const before = await rows(page());
  await server.stop();
  await banner('The server cannot be reached.');
  expect(await connection(page())).toBe('lost');
  expect(await accessibility(page())).toEqual([]);
  const whileAway = await rows(page());
  expect(whileAway.map((row) => [row.id, row.percent])).toEqual(before.map((row) => [row.id, row.percent]));

  // It has forgotten everything, and no agent has reported yet.
  server = new FakeServer({ story: 'trickling', epoch: 'e2', t: 44, heard: [] });
  await server.start(port);
  await until('the page is live', async () => (await connection(page())) === 'live');
  await until('live rows are not seen', async () => {
    const live = (await rows(page())).filter((row) => row.percent !== '');
    return live.length > 0 && live.every((row) => row.state === 'Not seen');
  });
  expect((await rows(page())).map((row) => row.id).sort()).toEqual(before.map((row) => row.id).sort());

  server.feed.hear(['worker-b-19']);
  server.feed.hear(['worker-a-12', 'worker-c-20']);
  server.feed.to(45);
  await showsTruth();
  expect(server.loads).toBe(0);
  expect(await faults()).toEqual([]);
});

test('what it does not understand changes nothing', async () => {
  await start({ story: 'shared-layer' });
  server.feed.send('frame', '{"seq":');
  server.feed.send(
    'frame',
    '{"seq":1,"rows":[null,"a",{"id":7},{"id":"x","phase":"queued"}],"up":[{"id":1},[99]]}',
  );
  server.feed.send('some-day', '{}');
  server.feed.to(16);
  // One that comes late says nothing any more.
  const [first] = truth();
  server.feed.send('frame', JSON.stringify({ seq: 1, now: server.feed.world.server.now, rm: [first?.id] }));
  server.feed.to(17);
  await showsTruth();
  expect(await connection(page())).toBe('live');
  expect(await faults()).toEqual([]);
});

test.each([
  [401, 'asks for a token'],
  [403, 'You may not see'],
  [503, 'cannot serve the page now (503)'],
])('an answer of %i says so, and the page goes on when it is over', async (status, words) => {
  server = new FakeServer({ story: 'shared-layer' });
  server.feed.status = status;
  opened = await open((await server.start()) + TABLE, TALL);
  await banner(words);
  expect(await rows(page())).toEqual([]);
  expect(await accessibility(page())).toEqual([]);
  server.feed.status = 200;
  await until('the page is live', async () => (await connection(page())) === 'live');
  await showsTruth();
  expect(await faults()).toEqual([]);
});

test('it works under any path', async () => {
  await start({ story: 'shared-layer', base: '/clusters/eu/pulltrace/' });
  await showsTruth();
  for (const screen of ['#/', '#/images', '#/nodes', '#/failures']) await go(page(), screen);
  expect(server.loads).toBe(1);
  expect(await faults()).toEqual([]);
});

test('the first agent to report brings the page on by itself', async () => {
  await start({ story: 'idle', heard: [] }, '#/');
  await page().getByText('No agent has reported yet').waitFor();
  server.feed.hear(['worker-a-12']);
  await page().getByText('Nothing is being pulled').waitFor();
  expect(await faults()).toEqual([]);
});

test('a page that is held stays as it is, says how much waits, and then shows all', async () => {
  await start({ story: 'one-pull' });
  await showsTruth();
  const percent = async () => (await rows(page()))[0]?.percent;
  const before = await percent();
  await page().getByRole('button', { name: 'Hold updates' }).click();
  server.feed.to(25);
  await page().locator('[data-field="held"]').getByText('1 changed').waitFor();
  expect(await percent()).toBe(before);
  await page().getByRole('button', { name: 'Go on with updates' }).click();
  await showsTruth();
  expect(await percent()).not.toBe(before);
  expect(await faults()).toEqual([]);
});

test('a server that was restarted, or has another page, is told of', async () => {
  await start({ story: 'page-older-than-server' }, '#/');
  await until('the page knows its server', () => (server.feed.counts.get('server') ?? 0) > 0);
  server.feed.to(0);
  await page().getByText('this page is older than its server').waitFor();
  expect(server.loads).toBe(1);
  await opened?.close();
  await server.stop();

  await start({ story: 'server-restarted' }, '#/');
  await until('the page knows its server', () => (server.feed.counts.get('server') ?? 0) > 0);
  server.feed.to(0);
  await page().getByText('The server was started anew: history starts at 03:55 UTC').waitFor();
  expect(server.loads).toBe(1);
  expect(await faults()).toEqual([]);
});

test('a snapshot of 50,000 pulls is there, and only what is in view is drawn', async () => {
  await start({ story: 'crowd' }, '#/pulls');
  await page().locator('[data-field="count"]').getByText('50,000', { exact: true }).waitFor();
  const elements = await page().evaluate(() => document.querySelectorAll('*').length);
  expect(elements).toBeLessThan(3_000);
  expect(await faults()).toEqual([]);
});
