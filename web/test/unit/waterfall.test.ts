import { describe, expect, test } from 'vitest';
import type { LayerStatus, PullStatus } from '../../src/api/gen/wire';
import { critical, type SegmentKind, waterfall } from '../../src/model/waterfall';
import { at, ended, layer, pull } from './some';

const now = Date.parse(at(20));
const live = (more: Partial<PullStatus> = {}): PullStatus => pull('p', { downloadingAt: at(1), ...more });

/** Segments with their ends in seconds of the story. */
function drawn(row: PullStatus, one: LayerStatus, when = now): [SegmentKind, number, number][] {
  const { axis, lines } = waterfall(row, [one], when);
  const seconds = (share: number): number => {
    const instant = axis.start + share * (axis.end - axis.start);
    return Math.round((instant - Date.parse(at(0))) / 100) / 10;
  };
  return (lines[0]?.segments ?? []).map(({ kind, from, to }) => [kind, seconds(from), seconds(to)]);
}

describe('what is drawn of a layer', () => {
  const cases: [string, Partial<LayerStatus>, [SegmentKind, number, number][]][] = [
    ['cached ones have no time', { state: 'cached' }, []],
    ['nor have those that are served remotely', { state: 'remote' }, []],
    [
      'it waits for a slot since the manifest is here',
      { state: 'waiting', waitingOn: { kind: 'download_slot', since: at(2) } },
      [['waiting', 1, 20]],
    ],
    [
      'another pull brings it',
      { state: 'waiting', waitingOn: { kind: 'shared_layer', since: at(4), pull: 'o' } },
      [
        ['waiting', 1, 4],
        ['shared', 4, 20],
      ],
    ],
    [
      'it comes',
      { startedAt: at(5), downloadedBytes: 500 },
      [
        ['waiting', 1, 5],
        ['downloading', 5, 20],
      ],
    ],
    [
      'it comes, and until when is known; that is cut off at the end of the axis',
      { startedAt: at(1), downloadedBytes: 500, totalBytes: 1000, bytesPerSec: 100 },
      [
        ['waiting', 1, 1],
        ['downloading', 1, 20],
        ['projected', 20, 22.5],
      ],
    ],
    [
      'it is here, and waits for the one below',
      { state: 'downloaded', startedAt: at(5), downloadedAt: at(8) },
      [
        ['waiting', 1, 5],
        ['downloading', 5, 8],
        ['parent', 8, 20],
      ],
    ],
    [
      'it is unpacked',
      { state: 'extracting', startedAt: at(5), downloadedAt: at(8), extractingAt: at(9) },
      [
        ['waiting', 1, 5],
        ['downloading', 5, 8],
        ['parent', 8, 9],
        ['extracting', 9, 20],
      ],
    ],
    [
      'it is done',
      {
        state: 'complete',
        startedAt: at(5),
        downloadedAt: at(8),
        extractingAt: at(9),
        completedAt: at(12),
      },
      [
        ['waiting', 1, 5],
        ['downloading', 5, 8],
        ['parent', 8, 9],
        ['extracting', 9, 12],
      ],
    ],
    [
      'its bytes were here before',
      { state: 'extracting', blobCached: true, extractingAt: at(3) },
      [['extracting', 3, 20]],
    ],
    ['of one that is done and of which no time was seen, nothing', { state: 'complete' }, []],
    [
      'when its bytes were here nobody saw',
      { state: 'extracting', startedAt: at(5), extractingAt: at(9) },
      [
        ['waiting', 1, 5],
        ['extracting', 9, 20],
      ],
    ],
    [
      'times in no order are not drawn over each other',
      { state: 'complete', startedAt: at(9), downloadedAt: at(5), extractingAt: at(10), completedAt: at(11) },
      [
        ['waiting', 1, 9],
        ['parent', 9, 10],
        ['extracting', 10, 11],
      ],
    ],
    [
      'what began before the pull is cut off at its start',
      { state: 'downloaded', startedAt: at(-3600), downloadedAt: at(4) },
      [
        ['downloading', 0, 4],
        ['parent', 4, 20],
      ],
    ],
    [
      'an hour ahead is cut off at the end of the axis, and drawn once',
      { state: 'extracting', startedAt: at(3600), downloadedAt: at(3700), extractingAt: at(3800) },
      [
        ['waiting', 1, 22.5],
        ['downloading', 22.5, 22.5],
        ['parent', 22.5, 22.5],
      ],
    ],
    ['words that are no times', { startedAt: 'soon', downloadedAt: '' }, []],
    ['a state that this page does not know', { state: 'thawing' as LayerStatus['state'] }, []],
  ];
  test.each(cases)('%s', (_, more, expected) => {
    expect(drawn(live(), layer('a', more))).toEqual(expected);
  });

  test('of a pull whose manifest was never seen, waiting begins when that is said', () => {
    const waits = layer('a', { state: 'waiting', waitingOn: { kind: 'download_slot', since: at(7) } });
    expect(drawn(pull('p'), waits)).toEqual([['waiting', 7, 20]]);
  });

  test('of a pull that ended nothing goes on after its end', () => {
    const failed = ended('p', {
      outcome: 'failed',
      phase: 'failed',
      completedAt: at(10),
      downloadingAt: at(1),
    });
    expect(drawn(failed, layer('a', { startedAt: at(2), bytesPerSec: 10 }))).toEqual([
      ['waiting', 1, 2],
      ['downloading', 2, 10],
    ]);
  });

  test('of a pull that nobody sees any more, nothing after that, and nothing of what is to come', () => {
    const stale = live({ staleSince: at(10) });
    expect(drawn(stale, layer('a', { startedAt: at(2), downloadedBytes: 1, bytesPerSec: 10 }))).toEqual([
      ['waiting', 1, 2],
      ['downloading', 2, 10],
    ]);
  });

  test('a layer is not projected beyond the end of its pull', () => {
    const one = layer('a', { startedAt: at(1), downloadedBytes: 0, totalBytes: 1e6, bytesPerSec: 1 });
    expect(drawn(live({ etaSeconds: 30 }), one).at(-1)).toEqual(['projected', 20, 50]);
  });

  test('segments never overlap, and none leaves the axis, whatever the times are', () => {
    const odd = [at(-50), at(3), at(19), at(4000), 'never', undefined];
    for (const startedAt of odd)
      for (const downloadedAt of odd)
        for (const extractingAt of odd)
          for (const completedAt of odd)
            for (const state of ['waiting', 'downloading', 'downloaded', 'extracting', 'complete'] as const) {
              const times = Object.fromEntries(
                Object.entries({ startedAt, downloadedAt, extractingAt, completedAt }).filter(
                  ([, time]) => time !== undefined,
                ),
              );
              const { lines } = waterfall(live({ etaSeconds: 5 }), [layer('a', { state, ...times })], now);
              let last = 0;
              for (const { from, to } of lines[0]?.segments ?? []) {
                expect(from).toBeGreaterThanOrEqual(last);
                expect(to).toBeGreaterThanOrEqual(from);
                expect(to).toBeLessThanOrEqual(1);
                last = to;
              }
            }
  });
});

describe('the axis', () => {
  const axisOf = (row: PullStatus, when = now) => waterfall(row, [], when).axis;
  const labels = (row: PullStatus, when = now) => axisOf(row, when).ticks.map(({ label }) => label);

  test('of a live pull holds its end, and is longer than that by a part of a tick', () => {
    const axis = axisOf(live({ etaSeconds: 20 }));
    expect((axis.end - axis.start) / 1000).toBe(45);
    expect(axis.now).toBeCloseTo(20 / 45);
    expect(axis.ready).toBeCloseTo(40 / 45);
    expect(labels(live({ etaSeconds: 20 }))).toEqual(['0 s', '10 s', '20 s', '30 s', '40 s']);
  });

  test('of an ended pull is as long as that took', () => {
    const axis = axisOf(ended('p', { completedAt: at(5) }));
    expect((axis.end - axis.start) / 1000).toBe(5);
    expect([axis.now, axis.ready]).toEqual([undefined, undefined]);
    expect(labels(ended('p', { completedAt: at(0.4) }))).toEqual(['0 s', '0.1 s', '0.2 s', '0.3 s', '0.4 s']);
  });

  test('of what takes hours yet keeps a quarter for what has been', () => {
    const axis = axisOf(live({ etaSeconds: 36_000 }));
    expect(axis.now).toBeGreaterThan(0.2);
    expect(axis.ready).toBeUndefined();
  });

  test('does not end before it begins where clocks are apart', () => {
    const axis = axisOf(live(), Date.parse(at(-3600)));
    expect(axis.end).toBeGreaterThan(axis.start);
    expect(axis.now).toBe(0);
  });

  test.each([[-5], [0], [0.01], [1], [59], [3600], [200_000], [40_000_000]])('has few ticks at %d s', (s) => {
    const { ticks } = axisOf(live(), Date.parse(at(s)));
    expect(ticks.length).toBeGreaterThan(0);
    expect(ticks.length).toBeLessThan(9);
    expect(ticks.every((tick) => tick.at >= 0 && tick.at <= 1)).toBe(true);
  });

  test('of a start that is none begins now', () => {
    const axis = axisOf(live({ startedAt: 'yesterday' }));
    expect(axis.start).toBe(now);
    expect(axis.end).toBeGreaterThan(now);
  });
});

describe('the layer that the pull waits for', () => {
  const which = (...layers: LayerStatus[]) => critical(live(), layers, now);
  const comes = (left: number, speed?: number) =>
    layer('a', { totalBytes: left, downloadedBytes: 0, ...(speed ? { bytesPerSec: speed } : {}) });

  test('is the one that comes last', () => {
    expect(which(comes(100, 10), comes(1000, 10), comes(500, 10))).toBe(1);
    expect(which(comes(100, 1), comes(1000, 100))).toBe(0);
  });

  test('is the one with most bytes where no speed is known', () => {
    expect(which(comes(100), comes(1000), comes(500))).toBe(1);
  });

  test('is the one below where what comes is here before that is unpacked', () => {
    const done = layer('d', { state: 'complete', totalBytes: 100, extractingAt: at(0), completedAt: at(10) });
    const unpacks = layer('x', { state: 'extracting', totalBytes: 1000, extractingAt: at(19) });
    expect(which(done, unpacks, comes(50, 10))).toBe(1);
    expect(which(done, unpacks, comes(5000, 10))).toBe(2);
  });

  test('is none of a pull with one layer, of one that is over, or of one that nobody sees', () => {
    const two = [comes(1), comes(2)];
    expect(which(comes(1))).toBeUndefined();
    expect(critical(ended('p'), two, now)).toBeUndefined();
    expect(critical(live({ staleSince: at(3) }), two, now)).toBeUndefined();
    expect(which(layer('a', { state: 'cached' }), layer('b', { state: 'complete' }))).toBeUndefined();
  });
});
