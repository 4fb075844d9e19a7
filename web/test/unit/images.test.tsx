import { screen, within } from '@testing-library/react';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { PullStatus } from '../../src/api/gen/wire';
import { imageEntries, imageMatches, lastPulls } from '../../src/model/images';
import { COLUMN, FIELD, LIST } from '../names';
import { at, ended, node, pull } from './fixtures';
import { type TestPage, testPage } from './testPage';

const WEB = { imageRef: 'ghcr.io/acme/web:1', rootDigest: 'sha256:aaaaaaaaaaaaaaaa' };

const failed = (id: string, more: Partial<PullStatus>): PullStatus =>
  ended(id, { phase: 'failed', outcome: 'failed', failure: { reason: 'dns' }, ...more });

test('image counts nodes by state', () => {
  const [web] = imageEntries([
    ended('a', { ...WEB, nodeName: 'n1', completedAt: at(10), totalBytes: 1000, cachedBytes: 250 }),
    ended('b', { ...WEB, nodeName: 'n2', completedAt: at(20), totalBytes: 1000, cachedBytes: 750 }),
    failed('c', { ...WEB, nodeName: 'n3' }),
    pull('d', { ...WEB, nodeName: 'n3' }),
    failed('e', { ...WEB, nodeName: 'n4' }),
    pull('f', { ...WEB, nodeName: 'n5', phase: 'queued' }),
  ]);
  expect(web).toMatchObject({
    key: 'ghcr.io/acme/web:1',
    present: 2,
    pulling: 2,
    failed: 1,
    p50: 10,
    p95: 20,
    timedPulls: 2,
    cached: 0.5,
    bytes: 1000,
    digests: 1,
  });
});

test('unknown image values are undefined', () => {
  const { totalBytes: _, ...bare } = pull('a', WEB);
  const [web] = imageEntries([bare]);
  expect(web).toMatchObject({ bytes: undefined, p50: undefined, p95: undefined, cached: undefined });
});

test('unnamed pull joins the image with its digest', () => {
  const { imageRef: _, ...nameless } = pull('b', { rootDigest: WEB.rootDigest, nodeName: 'n2' });
  const { imageRef: __, ...strange } = pull('c', { rootDigest: 'sha256:cccccccccccccccc' });
  const { imageRef: ___, ...nothing } = pull('d');
  const found = imageEntries([nameless, strange, pull('a', WEB), nothing]);
  expect(found.map(({ key, pulling }) => [key, pulling])).toEqual([
    ['ghcr.io/acme/web:1', 2],
    ['sha256:cccccccccccccccc', 1],
    ['unknown', 1],
  ]);
});

test('moved tag reports two digests', () => {
  const [web] = imageEntries([ended('a', WEB), ended('b', { ...WEB, rootDigest: 'sha256:bbbbbbbbbbbb' })]);
  expect(web?.digests).toBe(2);
  expect(web?.digest).toBe('sha256:bbbbbbbbbbbb');
});

test('registries separate images of the same name', () => {
  const keys = imageEntries([
    pull('a', { imageRef: 'docker.io/library/redis:7' }),
    pull('b', { imageRef: 'quay.io/library/redis:7' }),
    pull('c', { imageRef: 'redis' }),
  ]).map(({ key }) => key);
  expect(keys).toEqual(['docker.io/library/redis:7', 'quay.io/library/redis:7', 'redis']);
});

test('last pulls list live ones, then failures', () => {
  const rows = [
    ended('old', { ...WEB, nodeName: 'n1', completedAt: at(1) }),
    ended('new', { ...WEB, nodeName: 'n1', completedAt: at(9) }),
    failed('bad', { ...WEB, nodeName: 'n2', completedAt: at(3) }),
    ended('was', { ...WEB, nodeName: 'n3' }),
    pull('live', { ...WEB, nodeName: 'n3' }),
    pull('else', { nodeName: 'n4' }),
  ];
  expect(lastPulls(rows, 'ghcr.io/acme/web:1').map(({ id }) => id)).toEqual(['live', 'bad', 'new']);
  expect(lastPulls(rows, 'nothing')).toEqual([]);
});

test('image search matches name, registry and digest', () => {
  const [web] = imageEntries([pull('a', WEB)]);
  if (!web) throw new Error('no image');
  expect(imageMatches(web, ['acme', 'web:1'])).toBe(true);
  expect(imageMatches(web, ['aaaaaaaa'])).toBe(true);
  expect(imageMatches(web, ['acme', 'db'])).toBe(false);
});

let page: TestPage;
beforeEach(() => {
  page = testPage();
});
afterEach(() => page.close());

const message = (name: string): HTMLElement => {
  const found = document.querySelector<HTMLElement>(`[data-message="${name}"]`);
  if (!found) throw new Error(`no message ${name}`);
  return found;
};
const rows = () =>
  [...document.querySelectorAll<HTMLElement>('[data-image]')].map((row) => row.dataset.image);
const show = async (hash: string) => {
  window.location.hash = hash;
  await import('../../src/pages/lazyPages');
  await page.show();
};

test('heading sorts images and updates the URL', async () => {
  await show('#/images');
  page.pushFrame(1, {
    nodes: [node('n1')],
    rows: [
      ended('a', { imageRef: 'r.example/small:1', totalBytes: 10, nodeName: 'n1' }),
      ended('b', { imageRef: 'r.example/small:1', totalBytes: 10, nodeName: 'n2' }),
      ended('c', { imageRef: 'r.example/large:1', totalBytes: 9e9 }),
    ],
  });
  expect(rows()).toEqual(['r.example/small:1', 'r.example/large:1']);
  await page.user.click(screen.getByRole('button', { name: COLUMN.size }));
  expect(rows()).toEqual(['r.example/large:1', 'r.example/small:1']);
  expect(window.location.hash).toBe('#/images?sort=-size');
  const heading = screen.getByRole('columnheader', { name: COLUMN.size });
  expect(heading.getAttribute('aria-sort')).toBe('descending');
});

test('text filter limits images and can be cleared', async () => {
  await show('#/images');
  page.pushFrame(1, { rows: [pull('a'), pull('b')] });
  await page.user.type(screen.getByLabelText(FIELD.images), 'team b:1');
  await page.advance(200);
  expect(rows()).toEqual(['registry.example/team/b:1.0']);
  expect(window.location.hash).toBe('#/images?q=team+b%3A1');
  await page.user.type(screen.getByLabelText(FIELD.images), 'zzz');
  await page.advance(200);
  await page.user.click(within(message('no-match')).getByRole('button'));
  expect(rows()).toHaveLength(2);
  expect((screen.getByLabelText(FIELD.images) as HTMLInputElement).value).toBe('');
});

test('image expands to its nodes', async () => {
  await show('#/images');
  page.pushFrame(1, {
    rows: [
      ended('a', { ...WEB, nodeName: 'n1' }),
      pull('b', { ...WEB, nodeName: 'n2', percent: 40, etaSeconds: 12 }),
    ],
  });
  await page.user.click(screen.getByRole('button', { name: /web/, expanded: false }));
  const nodes = within(screen.getByRole('table', { name: LIST.nodesOfImage }));
  expect(nodes.getByRole('link', { name: 'n2' }).getAttribute('href')).toBe('#/pulls/b');
  expect(nodes.getByText('40 %')).toBeTruthy();
  expect(nodes.getByText('~12 s')).toBeTruthy();
  // A stale pull has neither speed nor ETA.
  page.pushFrame(2, { rows: [pull('b', { ...WEB, nodeName: 'n2', etaSeconds: 12, staleSince: at(1) })] });
  expect(nodes.queryByText('~12 s')).toBeNull();
  await page.user.click(screen.getByRole('button', { name: /web/, expanded: true }));
  expect(screen.queryByRole('table', { name: LIST.nodesOfImage })).toBeNull();
});

test('rows keep their order while hovered', async () => {
  await show('#/images?sort=-size');
  const say = (seq: number, bytes: number) =>
    page.pushFrame(seq, { rows: [pull('a', { totalBytes: 500 }), pull('b', { totalBytes: bytes })] });
  say(1, 100);
  expect(rows()[0]).toContain('/a:');
  const [first] = document.querySelectorAll<HTMLElement>('[data-image]');
  await page.user.hover(first as HTMLElement);
  say(2, 900);
  expect(rows()[0]).toContain('/a:');
  await page.user.unhover(first as HTMLElement);
  say(3, 901);
  expect(rows()[0]).toContain('/b:');
});

test('empty page names the retention period', async () => {
  page.answers['api/v1/server'] = { keepsEndedSeconds: 900, startedAt: at(0) };
  await show('#/images');
  expect(message('loading')).toBeTruthy();
  page.pushFrame(1);
  expect(message('idle').textContent).toMatch(/ 15 /);
});

test('link wins over a pending filter update', async () => {
  await page.navigate('#/images?q=web');
  await page.show();
  page.pushFrame(1, { rows: [pull('a', WEB)], nodes: [node('n1')] });
  const field = screen.getByRole<HTMLInputElement>('searchbox', { name: FIELD.images });
  await page.user.type(field, 'x');
  await page.navigate('#/images?q=other');
  await page.advance(500);
  expect(window.location.hash).toBe('#/images?q=other');
  expect(field.value).toBe('other');
});
