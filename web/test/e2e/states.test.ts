// Data that the user sees in each state. The wording is in `test/unit/golden`.

import type { Page } from 'playwright-core';
import { afterAll, afterEach, expect, test } from 'vitest';
import { screens } from '../../sim/screens';
import { FakeServer } from '../../sim/server';
import { storyByName } from '../../sim/stories';
import { FAILURE_TITLES } from '../../src/api/gen/failures';
import { imageName } from '../../src/model/image';
import {
  attention,
  type OpenedPage,
  openPage,
  rows,
  shutdown,
  syncState,
  waitForMessage,
  waitUntil,
} from './browser';
import { TABLE, TALL } from './expectRows';

let server: FakeServer;
let opened: OpenedPage | undefined;

afterEach(async () => {
  await opened?.close();
  opened = undefined;
  await server.stop();
});
afterAll(shutdown);

async function start(name: string, screen = 'pulls'): Promise<Page> {
  const story = storyByName(name);
  server = new FakeServer({ story });
  const hash = screen === 'pulls' ? TABLE : (screens(story)[screen] ?? '');
  opened = await openPage((await server.start()) + hash, TALL);
  const { page } = opened;
  await waitUntil(
    'snapshot loaded',
    async () => (await syncState(page)) === (story.unfinished ? 'loading' : 'synced'),
  );
  if (screen === 'pulls') await waitUntil('rows rendered', async () => (await rows(page)).length > 0);
  return page;
}

/** Text content of the screen. */
const mainText = async (page: Page): Promise<string> =>
  ((await page.locator('main').textContent()) ?? '').replaceAll(/\s+/g, ' ');

/** The row of this image. */
async function row(page: Page, image: string) {
  const findRow = async () => (await rows(page)).find((each) => each.image.startsWith(image));
  await waitUntil(`row of ${image}`, async () => (await findRow()) !== undefined);
  return findRow();
}

test('unknown size shows bytes without percent or ETA', async () => {
  const page = await start('size-unknown');
  expect(await row(page, 'storefront')).toMatchObject({
    state: 'downloading',
    percent: '–',
    eta: '–',
    speed: '3.00 MiB/s',
  });
  expect(await row(page, 'checkout')).toMatchObject({
    state: 'resolving',
    notes: [{ kind: 'waiting', text: expect.stringMatching(/ \(\d+ s\)$/) }],
  });
});

test('queued pull shows its position', async () => {
  const page = await start('queued');
  expect(await row(page, 'checkout')).toMatchObject({
    state: 'queued',
    notes: [{ kind: 'queued', text: expect.stringMatching(/ search-indexer:0.31.2 \(\d+ %, ~\d+ s\D*\)$/) }],
  });
  expect(await row(page, 'grafana')).toMatchObject({
    notes: [{ kind: 'queued', text: expect.stringMatching(/, 4 \D+$/) }],
  });
});

test('shared layer names the other pull', async () => {
  const page = await start('shared-layer');
  expect(await row(page, 'ml-batch')).toMatchObject({
    state: 'waiting',
    notes: [{ kind: 'waiting', text: expect.stringMatching(/ [0-9a-f]{12} \D+ ml-inference:2.4.1/) }],
  });
});

test('extracting, stalled, slow and stale have their labels', async () => {
  let page = await start('extracting');
  expect(await row(page, 'search-indexer')).toMatchObject({ state: 'extracting' });
  await opened?.close();
  await server.stop();
  page = await start('stalled');
  expect(await row(page, 'storefront')).toMatchObject({
    state: 'stalled',
    notes: [{ kind: 'stalled', text: expect.stringMatching(/ \d+ s$/) }],
  });
  await opened?.close();
  await server.stop();
  page = await start('trickling');
  expect((await rows(page)).flatMap((each) => each.notes.map(({ kind }) => kind))).toEqual(['slow']);
  await opened?.close();
  await server.stop();
  page = await start('node-silent');
  expect((await rows(page)).filter((each) => each.state === 'unseen')).toMatchObject(
    Array(2).fill({
      speed: '–',
      eta: '–',
      notes: [{ kind: 'unseen', text: expect.stringMatching(/ 40 s$/) }],
    }),
  );
});

test('every failure reason shows title, hint and retry', async () => {
  const page = await start('failed');
  await waitUntil('all rows rendered', async () => (await rows(page)).length === 21);
  const found = await rows(page);
  for (const each of found) {
    expect(each).toMatchObject({ state: 'failed' });
    expect(each.retry).not.toBe('');
    expect(each.reason).not.toBe('');
  }
  expect(await row(page, 'not-found-demo')).toMatchObject({
    reason: expect.stringContaining(`${FAILURE_TITLES.not_found}: rpc error`),
    hint: expect.stringMatching(/\S/),
  });
});

test('cancelled, unknown, cached and sub-second pulls differ', async () => {
  let page = await start('cancelled');
  expect(await row(page, 'storefront')).toMatchObject({ phase: 'cancelled', state: 'cancelled' });
  await opened?.close();
  await server.stop();
  page = await start('unknown-outcome');
  expect(await row(page, 'storefront')).toMatchObject({ phase: 'unknown' });
  await opened?.close();
  await server.stop();
  page = await start('fully-cached');
  expect(await row(page, 'checkout')).toMatchObject({ state: 'completed', percent: '' });
  await opened?.close();
  await server.stop();
  page = await start('sub-second');
  expect((await rows(page)).map(({ took }) => took)).toEqual(
    Array(9).fill(expect.stringMatching(/^0\.\d s$/)),
  );
});

test('pull page shows layers and waiting pods', async () => {
  const page = await start('one-pull', 'pull');
  await page.getByRole('heading', { name: /ml-inference/, level: 1 }).waitFor();
  await waitUntil('layers rendered', async () => (await page.locator('[data-layer]').count()) >= 12);
  await page.getByText('FROM ubuntu:24.04', { exact: false }).first().waitFor();
  for (const state of ['cached', 'downloaded', 'waiting']) {
    await page.locator(`[data-layer][data-state="${state}"]`).first().waitFor();
  }
  await page.locator('[data-evidence]').first().waitFor();
});

test('remotely mounted layers are marked', async () => {
  const page = await start('lazy', 'pull');
  await waitUntil('layers rendered', async () => (await page.locator('[data-layer]').count()) >= 12);
  expect(await page.locator('[data-layer][data-state="remote"]').count()).toBeGreaterThan(5);
});

test('pod page lists images in kubelet order', async () => {
  const page = await start('init-pod', 'pod');
  await page.getByRole('heading', { level: 1, name: /search-/ }).waitFor();
  const text = await mainText(page);
  const places = ['search-data', 'migrate', 'proxyv2', 'search-indexer', 'grafana'].map((name) =>
    text.indexOf(name),
  );
  expect(places).not.toContain(-1);
});

test('empty states differ by cause', async () => {
  let page = await start('no-agents', 'overview');
  await waitForMessage(page, 'no-agents');
  await opened?.close();
  await server.stop();
  page = await start('idle', 'overview');
  await waitForMessage(page, 'idle');
  expect(await page.locator('[data-message="idle"] a').count()).toBe(0);
  await opened?.close();
  await server.stop();
  page = await start('quiet-with-ended', 'overview');
  await page.locator('[data-message="idle"] a').waitFor();
  await opened?.close();
  await server.stop();
  page = await start('first-load', 'overview');
  await waitForMessage(page, 'loading');
});

test('no match shows a button to clear', async () => {
  const page = await start('rollout');
  await page.evaluate(() => {
    window.location.hash = '#/pulls?q=node:nowhere';
  });
  await waitForMessage(page, 'no-match');
  await page.locator('[data-message="no-match"]').getByRole('button').click();
  await waitUntil('rows rendered again', async () => (await rows(page)).length > 0);
});

test('overview shows slow, failing and silent items', async () => {
  const page = await start('rollout', 'overview');
  await waitUntil('slow node shown', async () => (await mainText(page)).includes('gpu-worker-14'));
  const text = await mainText(page);
  expect(new Set(await attention(page))).toEqual(new Set(['failure', 'slow', 'silent']));
  for (const image of ['ml-inference', 'pytorch', 'redis', 'fraud-model', 'busybox']) {
    expect(text).toContain(image);
  }
  expect(await page.title()).toMatch(/^\(4 /);
});

test('keyboard shortcuts move through rows', async () => {
  const page = await start('rollout');
  await page.keyboard.press('j');
  await waitUntil('row focused', () =>
    page.evaluate(() => document.activeElement?.closest('[data-pull]') !== null),
  );
  await page.keyboard.press('Enter');
  await waitUntil('pull page opened', () => /#\/pulls\/lease/.test(page.url()));
  await page.keyboard.press('Escape');
  await waitUntil('table shown again', () => /#\/pulls(\?|$)/.test(page.url()));
  await page.keyboard.press('/');
  expect(await page.evaluate(() => document.activeElement?.tagName)).toBe('INPUT');
});

test('malformed data is shown as text', async () => {
  const page = await start('hostile');
  const { rows: serverRows } = server.feed.world;
  await waitUntil('rows rendered', async () => (await rows(page)).length === serverRows.length);
  const found = await rows(page);
  const findRow = (id: string) => found.find((each) => each.id === id);
  expect(findRow('a-later-phase')).toMatchObject({ phase: 'verifying', state: 'other' });
  expect(findRow('nothing-known')).toMatchObject({ image: imageName({}).name, percent: '–' });
  expect(findRow('markup-name')?.image).toBe('<img src=x onerror=alert(1)> 1');
  expect(findRow('hidden-characters')?.image).not.toMatch(/\p{C}/u);
  expect(findRow('too-much')?.percent).toBe('99 %');
  expect(findRow('later-waiting')).toMatchObject({
    notes: [{ kind: 'waiting', text: expect.stringContaining('peer cache') }],
  });
  expect(findRow('later-reason')).toMatchObject({ reason: expect.stringMatching(/^quota of the cloud/) });
  expect(await page.locator('main img, main script').count()).toBe(0);
  expect(await opened?.problems()).toEqual([]);
});
