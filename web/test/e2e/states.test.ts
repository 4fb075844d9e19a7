// What a reader sees in each state, in words.

import type { Page } from 'playwright-core';
import { afterAll, afterEach, expect, test } from 'vitest';
import { screens } from '../../sim/screens';
import { FakeServer } from '../../sim/server';
import { storyOf } from '../../sim/stories';
import { type Opened, open, rows, shutdown, sync, until } from './browser';
import { TABLE, TALL } from './truth';

let server: FakeServer;
let opened: Opened | undefined;

afterEach(async () => {
  await opened?.close();
  opened = undefined;
  await server.stop();
});
afterAll(shutdown);

async function start(name: string, screen = 'pulls'): Promise<Page> {
  const story = storyOf(name);
  server = new FakeServer({ story });
  const hash = screen === 'pulls' ? TABLE : (screens(story)[screen] ?? '');
  opened = await open((await server.start()) + hash, TALL);
  const { page } = opened;
  await until(
    'the snapshot is there',
    async () => (await sync(page)) === (story.unfinished ? 'filling' : 'whole'),
  );
  if (screen === 'pulls') await until('rows are drawn', async () => (await rows(page)).length > 0);
  return page;
}

/** All that stands on the screen. */
const words = async (page: Page): Promise<string> =>
  ((await page.locator('main').textContent()) ?? '').replaceAll(/\s+/g, ' ');

/** What the row of this image says. */
async function row(page: Page, image: string) {
  const of = async () => (await rows(page)).find((each) => each.image.startsWith(image));
  await until(`${image} is there`, async () => (await of()) !== undefined);
  return of();
}

test('size unknown: bytes so far, no percent and no time left', async () => {
  const page = await start('size-unknown');
  expect(await row(page, 'storefront')).toMatchObject({
    state: 'Downloading',
    percent: '–',
    eta: '–',
    speed: '3.00 MiB/s',
  });
  expect(await row(page, 'checkout')).toMatchObject({
    state: 'Resolving',
    notes: [expect.stringMatching(/^waiting for the registry \(\d+ s\)$/)],
  });
});

test('queued: behind which pull, and how many stand before', async () => {
  const page = await start('queued');
  expect(await row(page, 'checkout')).toMatchObject({
    state: 'Queued',
    notes: [expect.stringMatching(/^queued behind search-indexer:0.31.2 \(\d+ %, ~\d+ s left\)$/)],
  });
  expect(await row(page, 'grafana')).toMatchObject({ notes: [expect.stringContaining(', 4 before it')] });
});

test('waiting for a shared layer: of which pull', async () => {
  const page = await start('shared-layer');
  expect(await row(page, 'ml-batch')).toMatchObject({
    state: 'Waiting',
    notes: [expect.stringMatching(/^waiting for layer [0-9a-f]{12} of ml-inference:2.4.1/)],
  });
});

test('extracting, stalled, slow and not seen are words', async () => {
  let page = await start('extracting');
  expect(await row(page, 'search-indexer')).toMatchObject({ state: 'Extracting' });
  await opened?.close();
  await server.stop();
  page = await start('stalled');
  expect(await row(page, 'storefront')).toMatchObject({
    state: 'Stalled',
    notes: [expect.stringMatching(/^no byte has come for \d+ s$/)],
  });
  await opened?.close();
  await server.stop();
  page = await start('trickling');
  expect((await rows(page)).flatMap((each) => each.notes)).toEqual([
    'far slower than usual from this registry',
  ]);
  await opened?.close();
  await server.stop();
  page = await start('node-silent');
  expect((await rows(page)).filter((each) => each.state === 'Not seen')).toMatchObject([
    { speed: '–', eta: '–', notes: ['not seen for 40 s'] },
    { speed: '–', eta: '–', notes: ['not seen for 40 s'] },
  ]);
});

test('failed: why, what to do, and when it is tried again, for each reason', async () => {
  const page = await start('failed');
  await until('all are there', async () => (await rows(page)).length === 21);
  const found = await rows(page);
  for (const each of found) {
    expect(each).toMatchObject({ state: 'Failed', retry: expect.stringMatching(/^again /) });
    expect(each.reason).not.toBe('');
  }
  expect(await row(page, 'not-found-demo')).toMatchObject({
    reason: expect.stringMatching(/^the registry does not have it: rpc error/),
    hint: expect.stringContaining('check the name'),
  });
});

test('cancelled, unknown, fully cached and over within a second are told apart', async () => {
  let page = await start('cancelled');
  expect(await row(page, 'storefront')).toMatchObject({ phase: 'cancelled', state: 'Cancelled' });
  await opened?.close();
  await server.stop();
  page = await start('unknown-outcome');
  expect(await row(page, 'storefront')).toMatchObject({ phase: 'unknown' });
  await opened?.close();
  await server.stop();
  page = await start('fully-cached');
  expect(await row(page, 'checkout')).toMatchObject({ state: 'Completed', percent: '' });
  await opened?.close();
  await server.stop();
  page = await start('sub-second');
  expect((await rows(page)).map(({ took }) => took)).toEqual(
    Array(9).fill(expect.stringMatching(/^in 0\.\d s$/)),
  );
});

test('a pull shows its layers, what they do, and who waits', async () => {
  const page = await start('one-pull', 'pull');
  await page.getByRole('heading', { name: /ml-inference/, level: 1 }).waitFor();
  await until('the layers are there', async () => (await page.locator('[data-layer]').count()) >= 12);
  const layer = (text: string) => page.getByText(text, { exact: false }).first();
  await layer('FROM ubuntu:24.04').waitFor();
  await layer('on node').waitFor();
  await layer('waits for its parent').waitFor();
  await layer('waits for a slot').waitFor();
  await page.getByText('inference-', { exact: false }).first().waitFor();
});

test('layers that are served from the registry are said to be', async () => {
  const page = await start('lazy', 'pull');
  await until('the layers are there', async () => (await page.locator('[data-layer]').count()) >= 12);
  expect(await page.locator('[data-layer][data-state="remote"]').count()).toBeGreaterThan(5);
});

test('a pod says in the order of its kubelet what it waits for, with one time left', async () => {
  const page = await start('init-pod', 'pod');
  await page.getByRole('heading', { level: 1, name: /search-/ }).waitFor();
  const text = await words(page);
  const places = ['search-data', 'migrate', 'proxyv2', 'search-indexer', 'grafana'].map((name) =>
    text.indexOf(name),
  );
  expect(places).not.toContain(-1);
});

test('nothing yet, nothing now, nobody there: each says so', async () => {
  let page = await start('no-agents', 'overview');
  await page.getByText('No agent has reported yet').waitFor();
  await opened?.close();
  await server.stop();
  page = await start('idle', 'overview');
  await page.getByText('Nothing is being pulled').waitFor();
  await opened?.close();
  await server.stop();
  page = await start('quiet-with-ended', 'overview');
  await page.getByText('Last finished').waitFor();
  await opened?.close();
  await server.stop();
  page = await start('first-load', 'overview');
  await page.locator('[data-message="loading"]').waitFor({ state: 'attached' });
});

test('no match: the filter, and a button that clears it', async () => {
  const page = await start('rollout');
  await page.evaluate(() => {
    window.location.hash = '#/pulls?q=node:nowhere';
  });
  await page.getByText('No pull matches').waitFor();
  await page.locator('[data-message="no-match"]').getByRole('button').click();
  await until('rows are back', async () => (await rows(page)).length > 0);
});

test('the overview tells at a glance what is slow, what fails and who is silent', async () => {
  const page = await start('rollout', 'overview');
  await until('the slow node is named', async () => (await words(page)).includes('gpu-worker-14'));
  const text = await words(page);
  expect(text).toContain('2 nodes are not reporting');
  for (const image of ['ml-inference', 'pytorch', 'redis', 'fraud-model', 'busybox']) {
    expect(text).toContain(image);
  }
  expect(await page.title()).toContain('4 failing');
});

test('rows are reached by keys: j, Enter, Escape, /', async () => {
  const page = await start('rollout');
  await page.keyboard.press('j');
  await until('a row has the focus', () =>
    page.evaluate(() => document.activeElement?.closest('[data-pull]') !== null),
  );
  await page.keyboard.press('Enter');
  await until('the pull is open', () => /#\/pulls\/lease/.test(page.url()));
  await page.keyboard.press('Escape');
  await until('the table is back', () => /#\/pulls(\?|$)/.test(page.url()));
  await page.keyboard.press('/');
  expect(await page.evaluate(() => document.activeElement?.tagName)).toBe('INPUT');
});

test('what no server of today says is shown as text, and takes nothing else away', async () => {
  const page = await start('hostile');
  const { rows: told } = server.feed.world;
  await until('the rows are there', async () => (await rows(page)).length === told.length);
  const found = await rows(page);
  const of = (id: string) => found.find((each) => each.id === id);
  expect(of('a-later-phase')).toMatchObject({ phase: 'verifying', state: 'verifying' });
  expect(of('nothing-known')).toMatchObject({ image: 'Image not known yet', percent: '–' });
  expect(of('markup-name')?.image).toBe('<img src=x onerror=alert(1)> 1');
  expect(of('hidden-characters')?.image).not.toMatch(/\p{C}/u);
  expect(of('too-much')?.percent).toBe('99 %');
  expect(of('later-waiting')).toMatchObject({ notes: [expect.stringContaining('waiting for peer cache')] });
  expect(of('later-reason')).toMatchObject({ reason: expect.stringMatching(/^quota of the cloud/) });
  expect(await page.locator('main img, main script').count()).toBe(0);
  expect(await opened?.faults()).toEqual([]);
});
