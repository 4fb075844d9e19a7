import { expect, test } from 'vitest';
import { stay } from '../../src/model/places';

const keys = (found: string, before: string): string =>
  stay(
    [...found].map((key) => ({ key })),
    [...before],
  )
    .map(({ key }) => key)
    .join('');

test('what was there stays in its place, and what is new comes above it in its own order', () => {
  expect(keys('cab', '')).toBe('cab');
  expect(keys('cab', 'abc')).toBe('abc');
  expect(keys('ycxab', 'abc')).toBe('yxabc');
  expect(keys('cb', 'abc')).toBe('bc');
  expect(keys('', 'abc')).toBe('');
});
