import { expect, test } from 'vitest';
import { keepPositions } from '../../src/model/keepPositions';

const keys = (found: string, before: string): string =>
  keepPositions(
    [...found].map((key) => ({ key })),
    [...before],
  )
    .map(({ key }) => key)
    .join('');

test('known items keep positions, new ones come first', () => {
  expect(keys('cab', '')).toBe('cab');
  expect(keys('cab', 'abc')).toBe('abc');
  expect(keys('ycxab', 'abc')).toBe('yxabc');
  expect(keys('cb', 'abc')).toBe('bc');
  expect(keys('', 'abc')).toBe('');
});
