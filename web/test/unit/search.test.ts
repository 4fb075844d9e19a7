import { expect, test } from 'vitest';
import { MAX_HITS, search } from '../../src/model/search';
import { pull } from './fixtures';

const link = (namespace: string, podName: string) => ({
  namespace,
  podName,
  uid: podName,
  container: 'app',
  image: 'x',
});
const PAGES = [
  ['pulls', 'Pulls'],
  ['nodes', 'Nodes'],
] as const;
const rows = [
  pull('a', {
    nodeName: 'worker-1',
    imageRef: 'ghcr.io/acme/checkout:1.2',
    pods: [link('shop', 'checkout-7d-x2k4j'), link('shop', 'checkout-7d-zz')],
  }),
  pull('b', { nodeName: 'node-of-checkout', pods: [link('ops', 'my-checkout-0')] }),
  pull('c', { nodeName: 'worker-2', candidates: [link('checkout', 'db-0')] }),
  pull('d', { nodeName: 'worker-1', pods: [link('shop', 'checkout-7d-zz')] }),
];
const texts = (text: string): string[] =>
  search(text, rows, ['worker-1', 'worker-2', 'node-of-checkout'], PAGES).map(
    ({ kind, text: found, context }) => `${kind} ${found}${context && ` in ${context}`}`,
  );

test('pods come first, prefix matches before others', () => {
  expect(texts('checkout')).toEqual([
    'pod checkout-7d-x2k4j in shop',
    'pod checkout-7d-zz in shop',
    'pod db-0 in checkout',
    'pod my-checkout-0 in ops',
    'image checkout:1.2 in ghcr.io/acme',
    'node node-of-checkout',
  ]);
});

test('search requires all words, ignoring case', () => {
  expect(texts('SHOP zz')).toEqual(['pod checkout-7d-zz in shop']);
  expect(texts('shop/check')).toEqual(['pod checkout-7d-x2k4j in shop', 'pod checkout-7d-zz in shop']);
  expect(texts('nothing')).toEqual([]);
  expect(texts('  ')).toEqual([]);
});

test('search finds nodes and pages by name', () => {
  expect(texts('worker')).toEqual(['node worker-1', 'node worker-2']);
  expect(texts('pul')).toEqual(['page Pulls']);
  expect(texts('nod')).toEqual(['node node-of-checkout', 'page Nodes']);
});

test('hits carry their link target', () => {
  const [pod] = search('zz', rows, [], PAGES);
  expect(pod?.target).toEqual(['shop', 'checkout-7d-zz']);
  const image = search('acme', rows, [], PAGES).find(({ kind }) => kind === 'image');
  expect(image?.target).toEqual(['ghcr.io/acme', 'checkout:1.2']);
});

test('search returns the best hits only', () => {
  const many = Array.from({ length: 2_000 }, (_, i) =>
    pull(`p${i}`, { imageRef: `x/web:${i}`, pods: [link('shop', `${i < 1_990 ? 'a-' : ''}web-${i}`)] }),
  );
  const found = search('web', many, [], PAGES);
  expect(found.filter(({ kind }) => kind === 'pod')).toHaveLength(MAX_HITS);
  expect(found[0]?.text).toBe('web-1990');
  expect(found.filter(({ kind }) => kind === 'image')).toHaveLength(MAX_HITS);
});
