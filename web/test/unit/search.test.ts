import { expect, test } from 'vitest';
import { find, MOST } from '../../src/model/search';
import { pull } from './some';

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
  find(text, rows, ['worker-1', 'worker-2', 'node-of-checkout'], PAGES).map(
    ({ kind, text: found, beside }) => `${kind} ${found}${beside && ` in ${beside}`}`,
  );

test('pods come first, those whose name begins so before others, each once', () => {
  expect(texts('checkout')).toEqual([
    'pod checkout-7d-x2k4j in shop',
    'pod checkout-7d-zz in shop',
    'pod db-0 in checkout',
    'pod my-checkout-0 in ops',
    'image checkout:1.2 in ghcr.io/acme',
    'node node-of-checkout',
  ]);
});

test('each word must be there, in any case', () => {
  expect(texts('SHOP zz')).toEqual(['pod checkout-7d-zz in shop']);
  expect(texts('shop/check')).toEqual(['pod checkout-7d-x2k4j in shop', 'pod checkout-7d-zz in shop']);
  expect(texts('nothing')).toEqual([]);
  expect(texts('  ')).toEqual([]);
});

test('nodes and pages are found by their names', () => {
  expect(texts('worker')).toEqual(['node worker-1', 'node worker-2']);
  expect(texts('pul')).toEqual(['page Pulls']);
  expect(texts('nod')).toEqual(['node node-of-checkout', 'page Nodes']);
});

test('what they are leads there', () => {
  const [pod] = find('zz', rows, [], PAGES);
  expect(pod?.of).toEqual(['shop', 'checkout-7d-zz']);
  const image = find('acme', rows, [], PAGES).find(({ kind }) => kind === 'image');
  expect(image?.of).toEqual(['ghcr.io/acme', 'checkout:1.2']);
});

test('of many the best few are offered', () => {
  const many = Array.from({ length: 2_000 }, (_, i) =>
    pull(`p${i}`, { imageRef: `x/web:${i}`, pods: [link('shop', `${i < 1_990 ? 'a-' : ''}web-${i}`)] }),
  );
  const found = find('web', many, [], PAGES);
  expect(found.filter(({ kind }) => kind === 'pod')).toHaveLength(MOST);
  expect(found[0]?.text).toBe('web-1990');
  expect(found.filter(({ kind }) => kind === 'image')).toHaveLength(MOST);
});
