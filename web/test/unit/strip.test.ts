import { expect, test } from 'vitest';
import type { LayerState } from '../../src/api/gen/wire';
import { stripSegments } from '../../src/model/strip';
import { layer } from './fixtures';

test('strip has a weighted segment per layer', () => {
  const layers = [
    layer('a', { state: 'cached', totalBytes: 10 }),
    layer('b', { state: 'complete', totalBytes: 20 }),
    layer('c', { state: 'extracting', downloadedBytes: 30, totalBytes: 30 }),
    layer('d', { state: 'downloading', downloadedBytes: 10, totalBytes: 40 }),
    layer('e', { state: 'waiting', totalBytes: 50 }),
    layer('f', { state: 'waiting', blobCached: true }),
    layer('g', { state: 'remote' }),
    layer('h', { state: 'being_hashed' as LayerState }),
    layer('i', { state: 'downloading', downloadedBytes: 99, totalBytes: 0 }),
  ];
  const found = stripSegments(layers);
  expect(found?.map(({ state, share }) => [state, share])).toEqual([
    ['cached', 1],
    ['complete', 1],
    ['extracting', 1],
    ['downloading', 0.25],
    ['waiting', 0],
    ['downloaded', 1],
    ['cached', 1],
    ['waiting', 0],
    ['downloading', 1],
  ]);
  expect(found?.map(({ weight }) => weight).slice(0, 5)).toEqual([10, 20, 30, 40, 50]);
});

test('strip merges equal neighbours of many layers', () => {
  const many = Array.from({ length: 120 }, (_, i) =>
    layer('a', { state: i < 60 ? 'cached' : i === 60 ? 'downloading' : 'waiting', totalBytes: 5 }),
  );
  expect(stripSegments(many)?.map(({ state, weight }) => [state, weight])).toEqual([
    ['cached', 300],
    ['downloading', 5],
    ['waiting', 295],
  ]);
  const mixed = many.map((each, i) => ({
    ...each,
    state: i % 2 ? ('cached' as const) : ('waiting' as const),
  }));
  expect(stripSegments(mixed)).toBeUndefined();
  expect(stripSegments([])).toBeUndefined();
});
