import { expect, test } from 'vitest';
import { axisTop, pointAt, throughputHistory, timeTicks } from '../../src/model/throughput';
import { at } from './fixtures';

const ms = (seconds: number) => Date.parse(at(seconds));
const server = (bytesPerSec: (number | null)[], endsAt = 0, startedAt = -86_400) => ({
  startedAt: at(startedAt),
  throughput: { stepSeconds: 2, endsAt: at(endsAt), bytesPerSec },
});

test('history joins server values and page samples', () => {
  const samples = [-3, -1, 0.5, 2, 4].map((seconds) => ({ at: ms(seconds), speed: 100 + seconds }));
  const found = throughputHistory(server([1, 2, 3]), samples);
  expect(found?.runs).toEqual([
    [
      { at: ms(-4), speed: 1 },
      { at: ms(-2), speed: 2 },
      { at: ms(0), speed: 3 },
      { at: ms(2), speed: 102 },
      { at: ms(4), speed: 104 },
    ],
  ]);
  expect(found).toMatchObject({ to: ms(4), from: ms(4 - 900), serverStartedAt: undefined });
  expect(found?.peak?.speed).toBe(104);
  expect(found?.latest?.speed).toBe(104);
});

test('unknown values and pauses are gaps', () => {
  const found = throughputHistory(server([5, null, 0, 7]), [{ at: ms(30), speed: 9 }]);
  expect(found?.runs.map((run) => run.map(({ speed }) => speed))).toEqual([[5], [0, 7], [9]]);
  expect(throughputHistory(server([5, null]), [])?.latest).toBeUndefined();
  expect(throughputHistory(undefined, [])).toBeUndefined();
  expect(
    throughputHistory({ startedAt: at(0), throughput: { stepSeconds: 2, bytesPerSec: [] } }, []),
  ).toBeUndefined();
});

test('history works without server values', () => {
  const found = throughputHistory(undefined, [
    { at: ms(-1000), speed: 1 },
    { at: ms(0), speed: 2 },
  ]);
  expect(found?.runs).toEqual([[{ at: ms(0), speed: 2 }]]);
});

test('server start is reported within the window', () => {
  expect(throughputHistory(server([1, 2], 0, -300), [])?.serverStartedAt).toBe(ms(-300));
  expect(throughputHistory(server([1, 2], 0, -901), [])?.serverStartedAt).toBeUndefined();
});

test('pointAt returns the nearest point outside gaps', () => {
  const found = throughputHistory(server([1, null, null, null, null, null, null, null, null, null, 2]), []);
  expect(found && pointAt(found, ms(-19.4))?.speed).toBe(1);
  expect(found && pointAt(found, ms(-1))?.speed).toBe(2);
  expect(found && pointAt(found, ms(-10))).toBeUndefined();
});

test('axis top is round in the chosen units', () => {
  const MiB = 1024 * 1024;
  expect(axisTop(0, 'iec')).toBe(MiB);
  expect(axisTop(0.5 * MiB, 'iec')).toBe(600 * 1024);
  expect(axisTop(3.4 * 1024 * MiB, 'iec')).toBe(4 * 1024 * MiB);
  expect(axisTop(900 * MiB, 'iec')).toBe(1024 * MiB);
  expect(axisTop(95e6, 'si')).toBe(100e6);
  // 95 MB/s are 760 Mbit/s.
  expect(axisTop(95e6, 'bits')).toBe(100e6);
  for (const units of ['iec', 'si', 'bits'] as const) {
    for (const peak of [1, 999, 1000, 1023, 8.2e5, 1e6, 9.99e8, 1e12]) {
      expect(axisTop(peak, units)).toBeGreaterThanOrEqual(peak);
      expect(axisTop(peak, units)).toBeLessThan(peak < 125 ? 2000 : peak * 2.6);
    }
  }
});

test('time ticks are full minutes', () => {
  expect(timeTicks(ms(10), ms(610))).toEqual([ms(180), ms(360), ms(540)]);
});
