// The built page in a real browser, on a server whose world and clock the test holds.

import { mkdirSync } from 'node:fs';
import { afterAll, afterEach, beforeEach, expect, test } from 'vitest';
import type { PullStatus } from '../../src/api/gen/wire';
import { bytes, duration, percent, speed } from '../../src/model/format';
import { imageName } from '../../src/model/image';
import { isLive, reason, size, took } from '../../src/model/pull';
import {
  accessibility,
  connection,
  type Opened,
  open,
  rows,
  type ShownRow,
  shutdown,
  sync,
  until,
} from './browser';
import { FakeServer } from './fake-server.mjs';

const OUT = `${import.meta.dirname}/out`;
mkdirSync(OUT, { recursive: true });

let server: FakeServer;
let opened: Opened | undefined;

beforeEach(() => {
  server = new FakeServer({ t: 12 });
});
afterEach(async () => {
  await opened?.close();
  opened = undefined;
  await server.stop();
});

afterAll(shutdown);

/** Opens the page and waits until all is there. The page is never loaded a second time. */
async function start(options: Parameters<typeof open>[1] = {}, port = 0): Promise<Opened> {
  opened = await open(await server.start(port), options);
  await until('the snapshot is whole', async () => (await sync(page())) === 'whole');
  return opened;
}

const page = () => {
  if (!opened) throw new Error('no page is open');
  return opened.page;
};

/** Waits until the page says under its top bar why it is cut off. */
const banner = (words: string) =>
  page().getByRole('region', { name: 'Connection' }).getByText(words).waitFor();

/** What must be shown of a row. */
function expected(row: PullStatus): Partial<ShownRow> {
  const { name, version } = imageName(row);
  const shown = {
    id: row.id,
    node: row.nodeName,
    phase: row.phase,
    image: [name, version].filter(Boolean).join(' '),
  };
  if (isLive(row)) {
    const amount = `${bytes(row.downloadedBytes)} of ${bytes(row.toDownloadBytes)}`;
    return {
      ...shown,
      percent: percent(row.percent),
      bytes: row.totalKnown ? amount : row.phase === 'queued' ? 'not begun yet' : 'size not known yet',
      speed: speed(row.bytesPerSec),
    };
  }
  const how = row.outcome === 'completed' ? 'in' : 'after';
  return {
    ...shown,
    bytes: size(row) ?? 'size not known',
    took: `${how} ${duration(took(row))}`,
    reason: reason(row) ?? '',
    hint: row.failure?.hint ?? '',
  };
}

const byId = (a: { id?: string }, b: { id?: string }) => ((a.id ?? '') < (b.id ?? '') ? -1 : 1);
const truth = () => (server.world.rows as unknown as PullStatus[]).map(expected).sort(byId);

/** What the page shows, of the fields that `truth` has. */
async function shown(): Promise<Partial<ShownRow>[]> {
  const fields = new Map(truth().map((row) => [row.id, Object.keys(row)]));
  const found = (await rows(page())).sort(byId);
  return found.map(
    (row) =>
      Object.fromEntries(
        Object.entries(row).filter(([field]) => fields.get(row.id)?.includes(field)),
      ) as object,
  );
}

/** Waits until the page shows the truth, and says what differs where it does not. */
async function showsTruth(): Promise<void> {
  const same = async () => JSON.stringify(sorted(await shown())) === JSON.stringify(sorted(truth()));
  await until('the page shows the truth', same, 10_000).catch(() => {});
  expect(await shown()).toEqual(truth());
}

const sorted = (list: object[]) => list.map((row) => Object.fromEntries(Object.entries(row).sort()));

test('every pull is shown as it is, from its start to its end, and never goes back', async () => {
  server.to(0);
  await start();
  const last = new Map<string, number>();
  for (let t = 0; t <= 60; t += 4) {
    server.to(t);
    await showsTruth();
    for (const row of await rows(page())) {
      const now = Number.parseInt(row.percent || '100', 10);
      if (Number.isNaN(now)) continue;
      expect(now, `${row.image} at ${t} s`).toBeGreaterThanOrEqual(last.get(row.id) ?? 0);
      last.set(row.id, now);
    }
  }
  expect(await opened?.faults()).toEqual([]);
  expect(server.loads).toBe(1);
});

test('five pulls at once, a failing one and a shared layer are told apart', async () => {
  await start();
  await showsTruth();
  const all = await rows(page());
  const of = (image: string) => all.find((row) => row.image.startsWith(image));
  expect(all.filter((row) => row.node === 'worker-1')).toHaveLength(5);
  expect(of('nightly-report')).toMatchObject({
    state: 'Waiting',
    notes: [expect.stringContaining('waiting for layer b1b1b1b1b1b1 of python:3.13-slim')],
    layers: ['waiting', 'downloaded'],
  });
  expect(of('redis')).toMatchObject({ state: 'Failed', reason: 'the runtime does not say why' });
  expect(of('stuck')).toMatchObject({
    state: 'Stalled',
    notes: [expect.stringMatching(/^no byte has come for \d+ s$/)],
  });
  expect(of('checkout')?.layers.slice(0, 3)).toEqual(['cached', 'cached', 'complete']);
  expect(of('Image not known yet')).toMatchObject({
    state: 'Resolving',
    percent: '–',
    bytes: 'size not known yet',
  });
  expect(of('cilium')).toMatchObject({ state: 'Completed', bytes: '246 MiB in 2 layers, all cached' });
  expect(of('controller')).toMatchObject({ state: 'Not seen' });
  expect(await opened?.faults()).toEqual([]);
});

test('each pull names the pods that wait for it, and a queue what is before it', async () => {
  await start();
  const find = async (id: string) => (await rows(page())).find((row) => row.id.includes(id));
  expect(await find('1-web')).toMatchObject({
    pods: ['shop/web-5d8f7c-2xk4j · app', 'shop/web-5d8f7c-9sl2m · app, migrate'],
    attempt: '',
  });
  expect(await find('3-tool')).toMatchObject({ candidates: 'perhaps jobs/backup-28 or jobs/report-28' });
  expect(await find('mail-0')).toMatchObject({
    state: 'Failed',
    reason: expect.stringMatching(/^the registry does not have it: rpc error.*mial:3: not found$/),
    hint: expect.stringContaining('check the name'),
    pods: ['shop/mail-0 · mail'],
    attempt: '3rd try',
    retry: expect.stringMatching(/^again in \d+ s$/),
  });
  expect(await find('announced~worker-2~k8s.io~uid-cart')).toMatchObject({
    state: 'Queued',
    percent: '–',
    bytes: 'not begun yet',
    pods: ['shop/cart-6b5c · cart'],
    attempt: '2nd try',
    notes: [
      expect.stringMatching(
        /^queued behind registry.example\/shop\/web:5.1.0 \(\d+ %, ~\d+ s left\), 2 before it$/,
      ),
    ],
  });
  const texts = (selector: string) => page().locator(selector).allInnerTexts();
  expect(await texts('[data-node-card="worker-2"] header')).toEqual([
    expect.stringMatching(/2 pulling\s+1 queued/),
  ]);

  await page().getByRole('link', { name: 'registry.example/shop/web:5.1.0' }).click();
  expect(await page().locator(':target').getAttribute('data-pull')).toContain('1-web');

  // All of them, and how that is known; and what the kubelet measured.
  await page().getByRole('button', { name: '+2 more' }).click();
  expect(await texts('[data-pull*="1-web"] [data-field="waiter"]')).toEqual([
    expect.stringMatching(/^shop\/web-5d8f7c-2xk4j · app\s+the kubelet announced the image/),
    expect.stringContaining('9sl2m · app, migrate'),
    expect.stringContaining('q8w7e · app'),
    expect.stringMatching(/^shop\/preview-7 · app\s+the digest that is pulled was seen under this name/),
  ]);
  await page().getByRole('button', { name: 'Details of sidecar:1.9' }).click();
  await page().getByRole('button', { name: 'Details of mial:3' }).click();
  const sidecar = '[data-pull*="5-sidecar"]';
  expect(await texts(`${sidecar} [data-field="kubelet"]`)).toEqual(['14.2 s, 18.2 s with waiting']);
  expect(await texts(`${sidecar} [data-field="disagrees"]`)).toEqual([
    'far from the 6.5 s that were seen here',
  ]);
  expect(await texts('[data-pull*="mail-0"] [data-field="said"]')).toEqual([
    expect.stringContaining('rpc error'),
  ]);
  expect(await accessibility(page())).toEqual([]);
  await page().screenshot({ path: `${OUT}/pods-dark.png`, fullPage: true });
  await page().emulateMedia({ colorScheme: 'light' });
  expect(await accessibility(page())).toEqual([]);
  await page().screenshot({ path: `${OUT}/pods-light.png`, fullPage: true });
  expect(await opened?.faults()).toEqual([]);
});

test('a queued pull that begins stays the row that it was, as open as it was', async () => {
  server.to(20);
  await start();
  const toggle = page().getByRole('button', { name: 'Details of cart:2.0' });
  const row = () => page().locator('[data-pull]', { has: toggle });
  expect(await row().getAttribute('data-state')).toBe('queued');
  await toggle.focus();
  await page().keyboard.press('Enter');
  expect(await row().locator('[data-field="waiter"]').count()).toBe(1);
  server.to(26);
  await until('it downloads', async () => (await row().getAttribute('data-state')) === 'downloading');
  expect(await row().count()).toBe(1);
  expect(await row().locator('[data-field="waiter"]').count()).toBe(1);
  expect(await toggle.evaluate((element) => element === document.activeElement)).toBe(true);
  await showsTruth();
  expect(await opened?.faults()).toEqual([]);
});

test('a cut connection goes on where it was, without a new snapshot', async () => {
  await start();
  server.cut();
  server.to(13);
  await until('the page asked again', () => server.asked.length === 2);
  expect(server.asked[1]).toMatch(/^e1-\d+$/);
  await showsTruth();
  expect(await connection(page())).toBe('live');
  expect(await opened?.faults()).toEqual([]);
});

test('a cut that is older than what the server remembers brings a new snapshot', async () => {
  await start();
  server.cut();
  for (let t = 12; t < 30; t += 0.25) server.to(t);
  await until('the page asked again', () => server.asked.length === 2);
  await showsTruth();
  expect(await opened?.faults()).toEqual([]);
});

test('a server that is killed and restarted under the page loses no row and needs no reload', async () => {
  await start();
  await showsTruth();
  const port = Number(new URL(page().url()).port);
  const before = await rows(page());
  await server.stop();
  await until('the page says that it is cut off', async () => (await connection(page())) === 'lost');
  await banner('The server cannot be reached.');
  const whileAway = await rows(page());
  expect(whileAway.map((row) => [row.id, row.percent])).toEqual(before.map((row) => [row.id, row.percent]));

  // It has forgotten everything, and no agent has reported yet.
  server = new FakeServer({ epoch: 'e2', t: 20, heard: [] });
  await server.start(port);
  await until('the page is live', async () => (await connection(page())) === 'live');
  await until('live rows are not seen', async () => {
    const live = (await rows(page())).filter((row) => row.percent !== '');
    return live.length > 0 && live.every((row) => row.state === 'Not seen');
  });
  expect((await rows(page())).map((row) => row.id).sort()).toEqual(before.map((row) => row.id).sort());

  server.hear(['worker-2', 'worker-1', 'worker-3', 'worker-4', 'worker-7']);
  server.hear(['gpu-worker-2']);
  server.to(21);
  await showsTruth();
  expect(server.loads).toBe(0);
  expect(await opened?.faults()).toEqual([]);
});

test('what it does not understand changes nothing', async () => {
  await start();
  server.send('frame', '{"seq":');
  server.send('frame', '{"seq":1,"rows":[{"id":7}],"up":[{"id":"nobody"},[99]]}');
  server.send('some-day', '{}');
  server.to(13);
  await showsTruth();
  expect(await connection(page())).toBe('live');
  expect(await opened?.faults()).toEqual([]);
});

test.each([
  [401, 'asks for a token'],
  [403, 'You may not see'],
  [503, 'cannot serve the page now (503)'],
])('an answer of %i says so', async (status, words) => {
  server.answer = status;
  opened = await open(await server.start());
  await banner(words);
  expect(await rows(page())).toEqual([]);
  expect(await accessibility(page())).toEqual([]);
  server.answer = 200;
  await until('the page is live', async () => (await connection(page())) === 'live');
  await showsTruth();
  expect(await opened?.faults()).toEqual([]);
});

test('it works under any path', async () => {
  await server.stop();
  server = new FakeServer({ t: 12, base: '/clusters/eu/pulltrace/' });
  await start();
  await showsTruth();
  expect(await opened?.faults()).toEqual([]);
});

test('a server without agents, and one without pulls, say so', async () => {
  await server.stop();
  server = new FakeServer({ heard: [] });
  await start();
  await page().getByText('No agent has reported yet').waitFor();
  expect(await accessibility(page())).toEqual([]);
  server.hear(['worker-3', 'worker-4']);
  await page().getByText('Nothing is being pulled').waitFor();
  expect(await accessibility(page())).toEqual([]);
  expect(await opened?.faults()).toEqual([]);
});

test('layers open and close by the keyboard', async () => {
  await start();
  const toggle = page().getByRole('button', { name: 'Details of pytorch:26.09-py3' });
  const layers = async () =>
    (await rows(page())).find((row) => row.image.startsWith('pytorch'))?.layers.length;
  expect(await layers()).toBe(5);
  await toggle.focus();
  await page().keyboard.press('Enter');
  expect(await layers()).toBe(0);
  await page().keyboard.press('Space');
  expect(await layers()).toBe(5);
});

test.each(['dark', 'light'] as const)('everybody can use it, with a %s system', async (colorScheme) => {
  await start({ colorScheme });
  await showsTruth();
  expect(await accessibility(page())).toEqual([]);
  await page().screenshot({ path: `${OUT}/live-${colorScheme}.png`, fullPage: true });
  const ground = () => page().evaluate(() => getComputedStyle(document.body).backgroundColor);
  const before = await ground();
  await page()
    .getByRole('button', { name: /^Theme/ })
    .click();
  if (colorScheme === 'light')
    await page()
      .getByRole('button', { name: /^Theme/ })
      .click();
  expect(await ground()).not.toBe(before);
  expect(await accessibility(page())).toEqual([]);

  await server.stop();
  await banner('The server cannot be reached.');
  expect(await accessibility(page())).toEqual([]);
  await page().screenshot({ path: `${OUT}/lost-${colorScheme === 'dark' ? 'light' : 'dark'}.png` });
  expect(await opened?.faults()).toEqual([]);
});

test('nothing is cut off on a telephone', async () => {
  await start({ width: 390, height: 844 });
  await showsTruth();
  const over = await page().evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
  expect(over).toBe(0);
  expect(await accessibility(page())).toEqual([]);
  await page().setViewportSize({ width: 390, height: 3300 });
  await page().screenshot({ path: `${OUT}/live-390.png` });
  expect(await opened?.faults()).toEqual([]);
});

test('names of 300 characters and texts of 4,000 break nothing', async () => {
  await start({ width: 390, height: 844 });
  const long = 'x'.repeat(300);
  const layers = Array.from({ length: 120 }, (_, i) => ({
    digest: `sha256:${i}`,
    state: 'downloading',
    totalBytes: 2 ** 53,
    createdBy: `RUN ${long}`,
  }));
  const row = {
    nodeName: long,
    startedAt: 'never',
    totalKnown: true,
    totalBytes: 1e30,
    imageRef: `${long}/${long}:${long}`,
    attempt: 4e9,
    pods: Array.from({ length: 200 }, (_, i) => ({
      namespace: '<b>x</b>',
      podName: `\u202e\u001b[31m${long}${i}`,
      uid: '',
      container: long,
      image: '',
      evidence: `<i>${long}</i>`,
    })),
    candidates: [{ namespace: long, podName: long, uid: 'u', container: '', image: long }],
    kubelet: { pullSeconds: 'soon', agrees: false },
  };
  const rows = [
    { ...row, id: `"><img src=x>${long}`, phase: 'downloading', percent: 1e9, etaSeconds: 1e12, layers },
    {
      ...row,
      id: 'queued',
      phase: 'queued',
      waitingOn: { kind: 'kubelet_queue', since: '', pull: `"><img src=x>${long}`, ahead: 1e9 },
    },
    {
      ...row,
      id: "a' [b]",
      phase: 'failed',
      outcome: 'failed',
      failure: {
        reason: long,
        message: `<script>alert(1)</script>\u001b[2J${'no space '.repeat(450)}`,
        hint: `<a href="javascript:alert(1)">${long}</a>`,
        nextRetryAt: 'soon',
      },
    },
  ];
  server.send('frame', JSON.stringify({ seq: 1e6, now: 'nonsense', rows }));
  await until('all are shown', async () => (await page().locator(`[data-node="${long}"]`).count()) === 3);
  const closed = page().locator(`[data-node="${long}"] [aria-expanded="false"]`);
  while ((await closed.count()) > 0) await closed.first().click();
  const over = await page().evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
  expect(over).toBe(0);
  await page().setViewportSize({ width: 1440, height: 900 });
  const wide = await page().evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
  expect(wide).toBe(0);
  await page()
    .locator(`[data-node-card="${long}"]`)
    .screenshot({ path: `${OUT}/long.png` });
  expect(await accessibility(page())).toEqual([]);
  expect(await opened?.faults()).toEqual([]);
});
