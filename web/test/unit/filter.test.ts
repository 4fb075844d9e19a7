import { expect, test } from 'vitest';
import type { PullStatus } from '../../src/api/gen/wire';
import { compileFilter, formatTerm, parseFilter, searchNames } from '../../src/model/filter';
import { at, ended, pull } from './fixtures';

const link = (namespace: string, podName: string) => ({
  namespace,
  podName,
  uid: podName,
  container: 'app',
  image: 'x',
});

const web = pull('web', {
  nodeName: 'gpu-worker-1',
  imageRef: 'ghcr.io/acme/web:5.1.0',
  pods: [link('shop', 'web-5d8f7c-2xk4j'), link('shop-staging', 'web-0')],
});
const db = pull('db', {
  nodeName: 'worker-10',
  imageRef: 'docker.io/library/postgres:18.1',
  phase: 'queued',
  pods: [link('data', 'db-0')],
});
const slow = pull('slow', { nodeName: 'worker-1', imageRef: 'quay.io/cilium/cilium:v1', slow: true });
const bad = ended('bad', {
  nodeName: 'worker-1',
  imageRef: 'ghcr.io/acme/api:1',
  phase: 'failed',
  outcome: 'failed',
  failure: { reason: 'not_found', message: 'MANIFEST unknown' },
});
const done = ended('done', { nodeName: 'worker-2' });
const nameless = pull('nameless', { nodeName: 'worker-3', candidates: [link('jobs', 'dump-1')] });
delete nameless.imageRef;
const stalled = pull('stalled', { nodeName: 'worker-4', stalledSince: at(1) });

const rows = [web, db, slow, bad, done, nameless, stalled];
const found = (text: string, of: PullStatus[] = rows): string =>
  of
    .filter(compileFilter(text).matches)
    .map(({ id }) => id)
    .join(' ');

test.each([
  ['', 'web db slow bad done nameless stalled'],
  ['   ', 'web db slow bad done nameless stalled'],
  ['acme', 'web bad'],
  ['ACME web', 'web'],
  ['shop', 'web'],
  ['web-5d8', 'web'],
  ['data/db', 'db'],
  ['gpu', 'web'],
  ['"acme/web"', 'web'],
  ['node:worker-1', 'web db slow bad'],
  ['node:"worker-1"', 'slow bad'],
  ['node:worker-1*', 'db slow bad'],
  ['node:*-1', 'web slow bad'],
  ['NODE:Worker-2', 'done'],
  ['node:worker-2 node:worker-3', 'done nameless'],
  ['node:worker image:acme', 'web bad'],
  ['ns:shop', 'web'],
  ['namespace:data', 'db'],
  ['ns:"shop-staging"', 'web'],
  ['ns:"sho"', ''],
  ['ns:jobs', 'nameless'],
  ['pod:web-0', 'web'],
  ['pod:"shop/web-5d8f7c-2xk4j"', 'web'],
  ['pod:web-*', 'web'],
  ['pod:"web"', ''],
  ['image:web', 'web'],
  ['image:"web:5.1.0"', 'web'],
  ['image:"postgres"', 'db'],
  ['image:*/acme/*', 'web bad'],
  ['registry:ghcr.io', 'web bad'],
  ['registry:"docker.io"', 'db'],
  ['registry:"docker.io/library"', 'db'],
  ['state:queued', 'db'],
  ['state:down', 'web slow nameless stalled'],
  ['state:downloading', 'web slow nameless stalled'],
  ['state:stalled', 'stalled'],
  ['state:slow', 'slow'],
  ['state:done', 'bad done'],
  ['-state:done', 'web db slow nameless stalled'],
  ['phase:completed', 'done'],
  ['state:live -node:gpu*', 'db slow nameless stalled'],
  ['reason:not_found', 'bad'],
  ['reason:"not found"', 'bad'],
  ['reason:"image not found"', 'bad'],
  ['reason:manifest', 'bad'],
  ['-acme -node:worker-4', 'db slow done nameless'],
  ['-image:web -image:postgres', 'slow bad done nameless stalled'],
  ['5.1.*', ''],
  ['*5.1.*', 'web'],
  ['web-*', 'web'],
])('filter %s finds %s', (text, expected) => {
  expect(found(text)).toBe(expected);
});

test('incomplete terms are ignored', () => {
  for (const text of ['node:', '-', '-node:', '"', 'node:"', '""', 'node:""']) {
    expect(parseFilter(text).terms, text).toEqual([]);
  }
  expect(found('node:"worker-2')).toBe('done');
});

test('unknown key is searched as plain text', () => {
  const filter = compileFilter('web:5.1.0 owner:me owner:you');
  expect(filter.unknown).toEqual(['web', 'owner']);
  expect(filter.terms.map(({ key, text }) => [key, text])).toEqual([
    [undefined, 'web:5.1.0'],
    [undefined, 'owner:me'],
    [undefined, 'owner:you'],
  ]);
  expect(found('web:5.1.0')).toBe('web');
  expect(found('localhost:5000/web')).toBe('');
});

test('any input is parsed quickly without throwing', () => {
  const bits = [
    'node:',
    '-',
    '"',
    '*',
    ':',
    ' ',
    '\\',
    '(',
    '[',
    '+',
    '\n',
    '\u0000',
    'é',
    '🦊',
    'a',
    '--',
    '::',
  ];
  let seed = 7;
  for (let round = 0; round < 3_000; round += 1) {
    let text = '';
    for (let length = round % 12; length >= 0; length -= 1) {
      seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648;
      text += bits[seed % bits.length];
    }
    const filter = compileFilter(text);
    for (const row of rows) expect(typeof filter.matches(row)).toBe('boolean');
  }
  const began = performance.now();
  found(`${'*a'.repeat(5_000)} node:${'*'.repeat(5_000)}x`);
  expect(performance.now() - began).toBeLessThan(2_000);
});

test('formatted term matches only that name', () => {
  expect(found(formatTerm('node', 'worker-1'))).toBe('slow bad');
  expect(found(formatTerm('image', 'web:5.1.0'))).toBe('web');
  expect(parseFilter(formatTerm('pod', 'a"b')).terms).toEqual([
    { key: 'pod', negated: false, text: 'ab', quoted: true },
  ]);
});

test('search names follow the current row', () => {
  const before = pull('moving', { nodeName: 'worker-9' });
  delete before.imageRef;
  expect(found('ghcr.io', [before])).toBe('');
  const { pods } = web;
  const after = { ...before, imageRef: 'ghcr.io/acme/late:1', ...(pods ? { pods } : {}) };
  expect(found('ghcr.io ns:shop', [after])).toBe('moving');
  expect(found('image:late', [{ ...after, percent: 12 }])).toBe('moving');
});

test('search names are cached when only progress changes', () => {
  const row = pull('kept', { pods: [link('shop', 'kept-0')] });
  const found = searchNames(row);
  expect(searchNames({ ...row, percent: 5, downloadedBytes: 50 })).toBe(found);
  expect(searchNames({ ...row, nodeName: 'n2' })).not.toBe(found);
});

test('stale pulls match their label', () => {
  const stale = pull('stale', { staleSince: at(1) });
  expect(found('state:stale', [...rows, stale])).toBe('stale');
  expect(found('state:unseen', [...rows, stale])).toBe('stale');
});
