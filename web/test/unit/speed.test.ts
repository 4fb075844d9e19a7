import { expect, test } from 'vitest';
import { runs } from '../../src/ui/SpeedLine';

const samples = (...speeds: [second: number, speed: number | undefined][]) =>
  speeds.map(([second, speed]) => ({ at: second * 1000, speed }));

test('the line ends at the right, and its top is the highest speed', () => {
  const [line] = runs(samples([0, 0], [1, 50], [2, 100]));
  expect(line).toEqual([
    [118, 32],
    [119, 17],
    [120, 2],
  ]);
});

test('a time of which nothing is known is a gap, and no zero', () => {
  expect(runs(samples([0, 5], [1, 5], [2, undefined], [3, 5], [4, 5]))).toHaveLength(2);
  expect(runs(samples([0, 5], [1, 5], [60, 5], [61, 5]))).toHaveLength(2);
  expect(runs([])).toEqual([]);
});
