import { expect, test } from 'vitest';
import {
  nextOrder,
  orderText,
  parseOrder,
  type Sortable,
  same,
  sorted,
  steady,
} from '../../src/model/columns';

interface Thing {
  key: string;
  size: number | undefined;
}

const keyOf = ({ key }: Thing): string => key;
const COLUMNS: readonly Sortable<Thing>[] = [
  { key: 'name', by: keyOf },
  { key: 'size', by: ({ size }) => size, down: true },
];
const NAME = { key: 'name', down: false };
const things = (...sizes: (number | undefined)[]): Thing[] =>
  sizes.map((size, index) => ({ key: 'abcdef'[index] ?? '', size }));
const keys = (list: readonly Thing[]): string => list.map(keyOf).join('');

test('an order is read from the address, and what names no column is the usual one', () => {
  expect(parseOrder('-size', COLUMNS, NAME)).toEqual({ key: 'size', down: true });
  expect(parseOrder('size', COLUMNS, NAME)).toEqual({ key: 'size', down: false });
  expect(parseOrder('-colour', COLUMNS, NAME)).toBe(NAME);
  expect(parseOrder(null, COLUMNS, NAME)).toBe(NAME);
  expect(orderText({ key: 'size', down: true })).toBe('-size');
});

test('a heading asks for its own order first, then for the other way', () => {
  const [, size] = COLUMNS as [Sortable<Thing>, Sortable<Thing>];
  const first = nextOrder(NAME, size);
  expect(first).toEqual({ key: 'size', down: true });
  expect(nextOrder(first, size)).toEqual({ key: 'size', down: false });
});

test('what is unknown comes last whichever way, and what is equal in the order of its keys', () => {
  const list = things(2, undefined, 9, 2);
  expect(keys(sorted(list, { key: 'size', down: true }, COLUMNS, keyOf))).toBe('cadb');
  expect(keys(sorted(list, { key: 'size', down: false }, COLUMNS, keyOf))).toBe('adcb');
  expect(keys(sorted(list, { key: 'name', down: true }, COLUMNS, keyOf))).toBe('dcba');
  expect(keys(list)).toBe('abcd');
});

test('rows that stand stay, and new ones come at the end', () => {
  expect(keys(steady(things(1, 2, 3, 4), keyOf, ['d', 'x', 'b']))).toBe('dbac');
});

test('two rows are the same where all that they say is', () => {
  expect(same({ a: 1, b: undefined }, { a: 1, b: undefined })).toBe(true);
  expect(same({ a: 1 }, { a: 2 })).toBe(false);
  expect(same({ a: Number.NaN }, { a: Number.NaN })).toBe(true);
  expect(same<object>({ a: 1 }, { a: 1, b: 2 })).toBe(false);
});
