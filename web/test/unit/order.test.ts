import { expect, test } from 'vitest';
import type { PullStatus } from '../../src/api/gen/wire';
import { compileFilter } from '../../src/model/filter';
import { type Arrangement, arrange, type GroupItem, parseGroup, type TableView } from '../../src/model/order';
import { parseSort as parse } from '../../src/model/sort';
import { SORT_KEYS } from '../../src/pages/pulls/columns';
import { at, ended, pull } from './fixtures';

const parseSort = (text: string) => parse(text, SORT_KEYS);

const itself = (id: string): string => id;
const view = (more: Partial<TableView> = {}): TableView => ({
  filter: compileFilter(''),
  sort: undefined,
  group: undefined,
  ...more,
});
const map = (...rows: PullStatus[]) => new Map(rows.map((row) => [row.id, row]));
const ids = ({ items }: Arrangement): string =>
  items
    .map((item) => (item.kind === 'row' ? item.id : `[${item.key === 'group ' ? '' : item.name}]`))
    .join(' ');
const link = (namespace: string, podName: string) => ({
  namespace,
  podName,
  uid: podName,
  container: 'app',
  image: 'x',
});

test('default order is live, then most recently ended', () => {
  const rows = map(
    ended('old', { completedAt: at(5) }),
    pull('late', { startedAt: at(9) }),
    ended('new', { completedAt: at(50) }),
    pull('early', { startedAt: at(1) }),
    pull('same', { startedAt: at(1) }),
  );
  const found = arrange(rows, view(), itself);
  expect(ids(found)).toBe('early same late new old');
  expect(found).toMatchObject({ matched: 5, total: 5 });
});

test('filter reports matched and total counts', () => {
  const rows = map(pull('a'), pull('b', { nodeName: 'n2' }), ended('c'));
  const found = arrange(rows, view({ filter: compileFilter('node:n1') }), itself);
  expect(ids(found)).toBe('a c');
  expect(found).toMatchObject({ matched: 2, total: 3 });
});

test('unknown values sort last in both directions', () => {
  const rows = map(
    pull('none'),
    pull('slow', { bytesPerSec: 1 }),
    pull('fast', { bytesPerSec: 9 }),
    pull('stale', { bytesPerSec: 100, staleSince: at(1) }),
    ended('ended', { bytesPerSec: 200 }),
  );
  const by = (text: string) => ids(arrange(rows, view({ sort: parseSort(text) }), itself));
  expect(by('-speed')).toBe('fast slow none stale ended');
  expect(by('speed')).toBe('slow fast none stale ended');
});

test.each([
  ['image', 'b a c'],
  ['-node', 'c a b'],
  ['-progress', 'b a c'],
  ['eta', 'a b c'],
  ['state', 'c a b'],
  ['pods', 'b a c'],
  ['-started', 'c b a'],
  ['-bytes', 'c a b'],
  ['-layers', 'a b c'],
])('rows sort by %s', (sort, expected) => {
  const rows = map(
    pull('a', {
      imageRef: 'x/zebra:1',
      nodeName: 'n2',
      percent: 3,
      etaSeconds: 5,
      pods: [link('z', 'b')],
      layerCount: 9,
      startedAt: at(1),
    }),
    pull('b', {
      imageRef: 'y/ape:1',
      percent: 9,
      etaSeconds: 50,
      toDownloadBytes: 1,
      pods: [link('a', 'z')],
      layerCount: 2,
      startedAt: at(2),
    }),
    ended('c', {
      imageRef: undefined as unknown as string,
      nodeName: 'n3',
      outcome: 'failed',
      phase: 'failed',
      totalBytes: 5_000,
      startedAt: at(3),
    }),
  );
  expect(ids(arrange(rows, view({ sort: parseSort(sort) }), itself))).toBe(expected);
});

test('frozen order appends new rows and drops removed', () => {
  const sort = parseSort('-speed');
  const before = arrange(
    map(pull('a', { bytesPerSec: 3 }), pull('b', { bytesPerSec: 2 }), pull('c', { bytesPerSec: 1 })),
    view({ sort }),
    itself,
  );
  expect(ids(before)).toBe('a b c');
  const rows = map(
    pull('x', { bytesPerSec: 99 }),
    pull('b2', { bytesPerSec: 1 }),
    pull('c', { bytesPerSec: 50 }),
  );
  const first = (id: string) => (id === 'b2' ? 'b' : id);
  const held = arrange(rows, view({ sort }), first, before, true);
  expect(ids(held)).toBe('b2 c x');
  expect(held.items[0]?.key).toBe('b');
  expect(ids(arrange(rows, view({ sort }), first, before))).toBe('x c b2');
});

test('items keep identity when nothing changes', () => {
  const before = arrange(map(pull('a'), pull('b')), view(), itself);
  const after = arrange(map(pull('a', { percent: 5 }), pull('b')), view(), itself, before);
  expect(after.items).toBe(before.items);
  expect(arrange(map(pull('a')), view(), itself, before).items).not.toBe(before.items);
  expect(arrange(map(pull('a'), pull('c')), view(), (id) => (id === 'c' ? 'b' : id), before).items).not.toBe(
    before.items,
  );
});

test('pull is listed and summed in each group', () => {
  const rows = map(
    pull('a', {
      pods: [link('shop', 'web-0'), link('shop', 'web-1'), link('ops', 'x')],
      toDownloadBytes: 100,
      toExtractBytes: 120,
      downloadedBytes: 50,
      extractedBytes: 10,
      bytesPerSec: 7,
      etaSeconds: 4,
    }),
    pull('b', { pods: [link('shop', 'web-1')], toDownloadBytes: 60, bytesPerSec: 1, etaSeconds: 9 }),
    pull('c', { pods: [link('shop', 'web-1')], staleSince: at(1), bytesPerSec: 1_000, etaSeconds: 999 }),
    ended('d', { pods: [link('shop', 'web-1')], phase: 'failed', outcome: 'failed' }),
    pull('e'),
  );
  const spaces = arrange(rows, view({ group: 'namespace' }), itself);
  expect(ids(spaces)).toBe('[ops] a [shop] a b c d [] e');
  expect(new Set(spaces.items.map(({ key }) => key)).size).toBe(spaces.items.length);
  const shop = spaces.items.find((item): item is GroupItem => item.kind === 'group' && item.name === 'shop');
  expect(shop?.sums).toEqual({
    pulls: 4,
    live: 3,
    failed: 1,
    toDownload: 160,
    downloaded: 50,
    toExtract: 180,
    extracted: 10,
    speed: 8,
    eta: 9,
  });
  const pods = arrange(rows, view({ group: 'pod' }), itself);
  expect(ids(pods)).toBe('[ops/x] a [shop/web-0] a [shop/web-1] a b c d [] e');
  expect(pods.items[0]).toMatchObject({ pod: { namespace: 'ops', name: 'x' } });
});

test('rows group by image, node and state', () => {
  const rows = map(
    pull('a', { imageRef: 'one/app:1', nodeName: 'n2' }),
    pull('b', { imageRef: 'two/app:1', stalledSince: at(1) }),
    ended('c', { imageRef: 'one/app:1' }),
  );
  const by = (group: TableView['group']) => ids(arrange(rows, view({ group }), itself));
  expect(by('image')).toBe('[app:1] a c [app:1] b');
  expect(by('node')).toBe('[n1] b c [n2] a');
  expect(by('state')).toBe('[stalled] b [downloading] a [completed] c');
});

test('frozen order applies within groups', () => {
  const v = view({ group: 'node', sort: parseSort('-speed') });
  const before = arrange(map(pull('a', { bytesPerSec: 2 }), pull('b', { bytesPerSec: 1 })), v, itself);
  const after = map(pull('a', { bytesPerSec: 2 }), pull('b', { bytesPerSec: 9 }));
  expect(ids(arrange(after, v, itself, before, true))).toBe('[n1] a b');
  expect(ids(arrange(after, v, itself, before))).toBe('[n1] b a');
});

test('unknown group keys are ignored', () => {
  expect(parseGroup('pod')).toBe('pod');
  expect(parseGroup('toString')).toBeUndefined();
});
