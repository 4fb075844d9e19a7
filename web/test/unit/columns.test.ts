import { expect, test } from 'vitest';
import {
  formatOrder,
  keepOrder,
  nextOrder,
  parseOrder,
  type SortableColumn,
  shallowEqual,
  sorted,
} from '../../src/model/columns';

interface Thing {
  key: string;
  size: number | undefined;
}

const keyOf = ({ key }: Thing): string => key;
const COLUMNS: readonly SortableColumn<Thing>[] = [
  { key: 'name', sortValue: keyOf },
  { key: 'size', sortValue: ({ size }) => size, descending: true },
];
const NAME = { key: 'name', descending: false };
const things = (...sizes: (number | undefined)[]): Thing[] =>
  sizes.map((size, index) => ({ key: 'abcdef'[index] ?? '', size }));
const keys = (list: readonly Thing[]): string => list.map(keyOf).join('');

test('parseOrder falls back when the column is unknown', () => {
  expect(parseOrder('-size', COLUMNS, NAME)).toEqual({ key: 'size', descending: true });
  expect(parseOrder('size', COLUMNS, NAME)).toEqual({ key: 'size', descending: false });
  expect(parseOrder('-colour', COLUMNS, NAME)).toBe(NAME);
  expect(parseOrder(null, COLUMNS, NAME)).toBe(NAME);
  expect(formatOrder({ key: 'size', descending: true })).toBe('-size');
});

test('heading sorts its own way, then reverses', () => {
  const [, size] = COLUMNS as [SortableColumn<Thing>, SortableColumn<Thing>];
  const first = nextOrder(NAME, size);
  expect(first).toEqual({ key: 'size', descending: true });
  expect(nextOrder(first, size)).toEqual({ key: 'size', descending: false });
});

test('unknown values sort last, ties by key', () => {
  const list = things(2, undefined, 9, 2);
  expect(keys(sorted(list, { key: 'size', descending: true }, COLUMNS, keyOf))).toBe('cadb');
  expect(keys(sorted(list, { key: 'size', descending: false }, COLUMNS, keyOf))).toBe('adcb');
  expect(keys(sorted(list, { key: 'name', descending: true }, COLUMNS, keyOf))).toBe('dcba');
  expect(keys(list)).toBe('abcd');
});

test('keepOrder appends new rows', () => {
  expect(keys(keepOrder(things(1, 2, 3, 4), keyOf, ['d', 'x', 'b']))).toBe('dbac');
});

test('shallowEqual compares all fields', () => {
  expect(shallowEqual({ a: 1, b: undefined }, { a: 1, b: undefined })).toBe(true);
  expect(shallowEqual({ a: 1 }, { a: 2 })).toBe(false);
  expect(shallowEqual({ a: Number.NaN }, { a: Number.NaN })).toBe(true);
  expect(shallowEqual<object>({ a: 1 }, { a: 1, b: 2 })).toBe(false);
});
