import { screen, within } from '@testing-library/react';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { PullStatus } from '../../src/api/gen/wire';
import { imageMatches, images, lastPulls } from '../../src/model/images';
import { type TestPage, testPage } from './page';
import { at, ended, node, pull } from './some';

const WEB = { imageRef: 'ghcr.io/acme/web:1', rootDigest: 'sha256:aaaaaaaaaaaaaaaa' };

const failed = (id: string, more: Partial<PullStatus>): PullStatus =>
  ended(id, { phase: 'failed', outcome: 'failed', failure: { reason: 'dns' }, ...more });

test('an image is told with the nodes that have it, pull it, or failed to', () => {
  const [web] = images([
    ended('a', { ...WEB, nodeName: 'n1', completedAt: at(10), totalBytes: 1000, cachedBytes: 250 }),
    ended('b', { ...WEB, nodeName: 'n2', completedAt: at(20), totalBytes: 1000, cachedBytes: 750 }),
    failed('c', { ...WEB, nodeName: 'n3' }),
    pull('d', { ...WEB, nodeName: 'n3' }),
    failed('e', { ...WEB, nodeName: 'n4' }),
    pull('f', { ...WEB, nodeName: 'n5', phase: 'queued' }),
  ]);
  expect(web).toMatchObject({
    key: 'ghcr.io/acme/web:1',
    have: 2,
    pulling: 2,
    failed: 1,
    p50: 10,
    p95: 20,
    timed: 2,
    cached: 0.5,
    bytes: 1000,
    digests: 1,
  });
});

test('what is not known of an image is not zero', () => {
  const { totalBytes: _, ...bare } = pull('a', WEB);
  const [web] = images([bare]);
  expect(web).toMatchObject({ bytes: undefined, p50: undefined, p95: undefined, cached: undefined });
});

test('a pull without a name is of the image that has its digest, or stands for itself', () => {
  const { imageRef: _, ...nameless } = pull('b', { rootDigest: WEB.rootDigest, nodeName: 'n2' });
  const { imageRef: __, ...strange } = pull('c', { rootDigest: 'sha256:cccccccccccccccc' });
  const { imageRef: ___, ...nothing } = pull('d');
  const found = images([nameless, strange, pull('a', WEB), nothing]);
  expect(found.map(({ key, pulling }) => [key, pulling])).toEqual([
    ['ghcr.io/acme/web:1', 2],
    ['sha256:cccccccccccccccc', 1],
    ['unknown', 1],
  ]);
});

test('a name that points to two images says so', () => {
  const [web] = images([ended('a', WEB), ended('b', { ...WEB, rootDigest: 'sha256:bbbbbbbbbbbb' })]);
  expect(web?.digests).toBe(2);
  expect(web?.digest).toBe('sha256:bbbbbbbbbbbb');
});

test('names that differ in their registry are two images, whatever their version', () => {
  const keys = images([
    pull('a', { imageRef: 'docker.io/library/redis:7' }),
    pull('b', { imageRef: 'quay.io/library/redis:7' }),
    pull('c', { imageRef: 'redis' }),
  ]).map(({ key }) => key);
  expect(keys).toEqual(['docker.io/library/redis:7', 'quay.io/library/redis:7', 'redis']);
});

test('of each node the last pull counts: live ones first, then failures', () => {
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

test('an image is found by each word of its name, registry and digest', () => {
  const [web] = images([pull('a', WEB)]);
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

const rows = () =>
  [...document.querySelectorAll<HTMLElement>('[data-image]')].map((row) => row.dataset.image);
const show = async (hash: string) => {
  window.location.hash = hash;
  await import('../../src/pages/later');
  await page.show();
};

test('the page lists images, orders them as the heading says, and keeps that in the address', async () => {
  await show('#/images');
  page.say(1, {
    nodes: [node('n1')],
    rows: [
      ended('a', { imageRef: 'r.example/small:1', totalBytes: 10, nodeName: 'n1' }),
      ended('b', { imageRef: 'r.example/small:1', totalBytes: 10, nodeName: 'n2' }),
      ended('c', { imageRef: 'r.example/large:1', totalBytes: 9e9 }),
    ],
  });
  expect(rows()).toEqual(['r.example/small:1', 'r.example/large:1']);
  await page.user.click(screen.getByRole('button', { name: 'Size' }));
  expect(rows()).toEqual(['r.example/large:1', 'r.example/small:1']);
  expect(window.location.hash).toBe('#/images?sort=-size');
  const heading = screen.getByRole('columnheader', { name: 'Size' });
  expect(heading.getAttribute('aria-sort')).toBe('descending');
});

test('the page leaves what the field says, and offers all again', async () => {
  await show('#/images');
  page.say(1, { rows: [pull('a'), pull('b')] });
  await page.user.type(screen.getByLabelText('Image, registry or digest'), 'team b:1');
  await page.pass(200);
  expect(rows()).toEqual(['registry.example/team/b:1.0']);
  expect(window.location.hash).toBe('#/images?q=team+b%3A1');
  await page.user.type(screen.getByLabelText('Image, registry or digest'), 'zzz');
  await page.pass(200);
  expect(document.querySelector('[data-message="no-match"]')).toBeTruthy();
  await page.user.click(screen.getByRole('button', { name: 'Show all 2' }));
  expect(rows()).toHaveLength(2);
  expect((screen.getByLabelText('Image, registry or digest') as HTMLInputElement).value).toBe('');
});

test('an image opens to its nodes, each with its pull', async () => {
  await show('#/images');
  page.say(1, {
    rows: [
      ended('a', { ...WEB, nodeName: 'n1' }),
      pull('b', { ...WEB, nodeName: 'n2', percent: 40, etaSeconds: 12 }),
    ],
  });
  await page.user.click(screen.getByRole('button', { name: /web/, expanded: false }));
  const nodes = within(screen.getByRole('table', { name: 'The last pull on each node' }));
  expect(nodes.getByRole('link', { name: 'n2' }).getAttribute('href')).toBe('#/pulls/b');
  expect(nodes.getByText('40 %')).toBeTruthy();
  expect(nodes.getByText('~12 s')).toBeTruthy();
  // One that nobody sees has neither speed nor time left.
  page.say(2, { rows: [pull('b', { ...WEB, nodeName: 'n2', etaSeconds: 12, staleSince: at(1) })] });
  expect(nodes.queryByText('~12 s')).toBeNull();
  await page.user.click(screen.getByRole('button', { name: /web/, expanded: true }));
  expect(screen.queryByRole('table', { name: 'The last pull on each node' })).toBeNull();
});

test('rows stay where they are while the pointer is over them', async () => {
  await show('#/images?sort=-size');
  const say = (seq: number, bytes: number) =>
    page.say(seq, { rows: [pull('a', { totalBytes: 500 }), pull('b', { totalBytes: bytes })] });
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

test('without pulls the page says so, and since when', async () => {
  page.answers['api/v1/server'] = { keepsEndedSeconds: 900, startedAt: at(0) };
  await show('#/images');
  expect(document.querySelector('[data-message="loading"]')).toBeTruthy();
  page.say(1);
  expect(screen.getByText('No image has been pulled in the last 15 minutes')).toBeTruthy();
});

test('who follows a link before what was typed is in the address, arrives there', async () => {
  await page.go('#/images?q=web');
  await page.show();
  page.say(1, { rows: [pull('a', WEB)], nodes: [node('n1')] });
  const field = screen.getByRole<HTMLInputElement>('searchbox', { name: 'Image, registry or digest' });
  await page.user.type(field, 'x');
  await page.go('#/images?q=other');
  await page.pass(500);
  expect(window.location.hash).toBe('#/images?q=other');
  expect(field.value).toBe('other');
});
