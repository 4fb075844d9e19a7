import { expect, test } from 'vitest';
import { history, niceTop, pointAt, timeTicks } from '../../src/model/throughput';
import { at } from './some';

const ms = (seconds: number) => Date.parse(at(seconds));
const server = (bytesPerSec: (number | null)[], endsAt = 0, startedAt = -86_400) => ({
  startedAt: at(startedAt),
  throughput: { stepSeconds: 2, endsAt: at(endsAt), bytesPerSec },
});

test('the line is what the server remembers, and after it what this page saw', () => {
  const samples = [-3, -1, 0.5, 2, 4].map((seconds) => ({ at: ms(seconds), speed: 100 + seconds }));
  const found = history(server([1, 2, 3]), samples);
  expect(found?.runs).toEqual([
    [
      { at: ms(-4), speed: 1 },
      { at: ms(-2), speed: 2 },
      { at: ms(0), speed: 3 },
      { at: ms(2), speed: 102 },
      { at: ms(4), speed: 104 },
    ],
  ]);
  expect(found).toMatchObject({ to: ms(4), from: ms(4 - 900), began: undefined });
  expect(found?.peak?.speed).toBe(104);
  expect(found?.last?.speed).toBe(104);
});

test('what is not known is a gap and no zero, and so is a pause', () => {
  const found = history(server([5, null, 0, 7]), [{ at: ms(30), speed: 9 }]);
  expect(found?.runs.map((run) => run.map(({ speed }) => speed))).toEqual([[5], [0, 7], [9]]);
  expect(history(server([5, null]), [])?.last).toBeUndefined();
  expect(history(undefined, [])).toBeUndefined();
  expect(history({ startedAt: at(0), throughput: { stepSeconds: 2, bytesPerSec: [] } }, [])).toBeUndefined();
});

test('without a server the page tells what it saw itself; what is older than 15 minutes is left out', () => {
  const found = history(undefined, [
    { at: ms(-1000), speed: 1 },
    { at: ms(0), speed: 2 },
  ]);
  expect(found?.runs).toEqual([[{ at: ms(0), speed: 2 }]]);
});

test('a server that began within the time shown says when', () => {
  expect(history(server([1, 2], 0, -300), [])?.began).toBe(ms(-300));
  expect(history(server([1, 2], 0, -901), [])?.began).toBeUndefined();
});

test('a moment is read at the nearest point, and a gap is not', () => {
  const found = history(server([1, null, null, null, null, null, null, null, null, null, 2]), []);
  expect(found && pointAt(found, ms(-19.4))?.speed).toBe(1);
  expect(found && pointAt(found, ms(-1))?.speed).toBe(2);
  expect(found && pointAt(found, ms(-10))).toBeUndefined();
});

test('an axis ends at a round number of the reader’s units', () => {
  const MiB = 1024 * 1024;
  expect(niceTop(0, 'iec')).toBe(MiB);
  expect(niceTop(0.5 * MiB, 'iec')).toBe(600 * 1024);
  expect(niceTop(3.4 * 1024 * MiB, 'iec')).toBe(4 * 1024 * MiB);
  expect(niceTop(900 * MiB, 'iec')).toBe(1024 * MiB);
  expect(niceTop(95e6, 'si')).toBe(100e6);
  // 95 MB/s are 760 Mbit/s.
  expect(niceTop(95e6, 'bits')).toBe(100e6);
  for (const units of ['iec', 'si', 'bits'] as const) {
    for (const peak of [1, 999, 1000, 1023, 8.2e5, 1e6, 9.99e8, 1e12]) {
      expect(niceTop(peak, units)).toBeGreaterThanOrEqual(peak);
      expect(niceTop(peak, units)).toBeLessThan(peak < 125 ? 2000 : peak * 2.6);
    }
  }
});

test('times are full minutes', () => {
  expect(timeTicks(ms(10), ms(610))).toEqual([ms(180), ms(360), ms(540)]);
});
