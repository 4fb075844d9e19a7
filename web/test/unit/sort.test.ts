import { expect, test } from 'vitest';
import { keepPositions, positionsOf } from '../../src/model/keepPositions';
import { formatSort, nextSort, parseSort, type SortOptions, sortItems } from '../../src/model/sort';
import { shallowEqual } from '../../src/ui/Table';

interface Thing {
  key: string;
  size: number | undefined;
}

const keyOf = ({ key }: Thing): string => key;
const SIZE = { key: 'size', descending: true };
const COLUMNS = [{ key: 'name' }, SIZE];
const NAME = { key: 'name', descending: false };
const things = (...sizes: (number | undefined)[]): Thing[] =>
  sizes.map((size, index) => ({ key: 'abcdef'[index] ?? '', size }));

const sorted = (list: readonly Thing[], options: Omit<SortOptions<Thing>, 'keyOf'>): string =>
  sortItems(list, { keyOf, ...options })
    .map(({ key }) => key)
    .join('');
const bySize = { value: ({ size }: Thing) => size };

test('parseSort rejects unknown columns', () => {
  expect(parseSort('-size', COLUMNS)).toEqual({ key: 'size', descending: true });
  expect(parseSort('size', COLUMNS)).toEqual({ key: 'size', descending: false });
  expect(parseSort('-colour', COLUMNS)).toBeUndefined();
  for (const text of [null, '', '-', 'constructor', '--size'])
    expect(parseSort(text, COLUMNS)).toBeUndefined();
  expect(formatSort({ key: 'size', descending: true })).toBe('-size');
  expect(formatSort(undefined)).toBeUndefined();
});

test('heading sorts its own way, then reverses', () => {
  const first = nextSort(NAME, SIZE);
  expect(first).toEqual({ key: 'size', descending: true });
  const second = nextSort(first, SIZE);
  expect(second).toEqual({ key: 'size', descending: false });
  expect(nextSort(second, SIZE)).toEqual(first);
  // The third click returns to the default order.
  expect(nextSort(first, SIZE, true)).toEqual(second);
  expect(nextSort(second, SIZE, true)).toBeUndefined();
});

test('unknown values sort last, ties by key', () => {
  const list = things(2, undefined, 9, 2);
  expect(sorted(list, { ...bySize, descending: true })).toBe('cadb');
  expect(sorted(list, bySize)).toBe('adcb');
  expect(sorted(list, { value: keyOf, descending: true })).toBe('dcba');
  expect(sorted(list, { ...bySize, tieBreaker: ({ key }) => (key === 'd' ? 0 : 1) })).toBe('dacb');
});

test('kept positions precede new rows', () => {
  expect(sorted(things(4, 3, 2, 1), { ...bySize, positions: positionsOf(['d', 'x', 'b']) })).toBe('dbca');
});

test('shallowEqual compares all fields', () => {
  expect(shallowEqual({ a: 1, b: undefined }, { a: 1, b: undefined })).toBe(true);
  expect(shallowEqual({ a: 1 }, { a: 2 })).toBe(false);
  expect(shallowEqual({ a: Number.NaN }, { a: Number.NaN })).toBe(true);
  expect(shallowEqual<object>({ a: 1 }, { a: 1, b: 2 })).toBe(false);
});

const kept = (found: string, before: string): string =>
  keepPositions(
    [...found].map((key) => ({ key })),
    [...before],
  )
    .map(({ key }) => key)
    .join('');

test('known items keep positions, new ones come first', () => {
  expect(kept('cab', '')).toBe('cab');
  expect(kept('cab', 'abc')).toBe('abc');
  expect(kept('ycxab', 'abc')).toBe('yxabc');
  expect(kept('cb', 'abc')).toBe('bc');
  expect(kept('', 'abc')).toBe('');
});
