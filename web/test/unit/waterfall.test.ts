import { describe, expect, test } from 'vitest';
import type { LayerStatus, PullStatus } from '../../src/api/gen/wire';
import { criticalLayer, type WaterfallSegmentKind, waterfall } from '../../src/model/waterfall';
import { at, ended, layer, pull } from './fixtures';

const now = Date.parse(at(20));
const live = (more: Partial<PullStatus> = {}): PullStatus => pull('p', { downloadingAt: at(1), ...more });

/** Segments with their ends in seconds after the pull's start. */
function drawn(row: PullStatus, one: LayerStatus, when = now): [WaterfallSegmentKind, number, number][] {
  const { axis, lines } = waterfall(row, [one], when);
  const seconds = (share: number): number => {
    const instant = axis.start + share * (axis.end - axis.start);
    return Math.round((instant - Date.parse(at(0))) / 100) / 10;
  };
  return (lines[0]?.segments ?? []).map(({ kind, from, to }) => [kind, seconds(from), seconds(to)]);
}

describe('segments of a layer', () => {
  const cases: [string, Partial<LayerStatus>, [WaterfallSegmentKind, number, number][]][] = [
    ['cached layer has no segments', { state: 'cached' }, []],
    ['remote layer has no segments', { state: 'remote' }, []],
    [
      'waiting starts with the manifest',
      { state: 'waiting', waitingOn: { kind: 'download_slot', since: at(2) } },
      [['waiting', 1, 20]],
    ],
    [
      'shared layer is downloaded by another pull',
      { state: 'waiting', waitingOn: { kind: 'shared_layer', since: at(4), pull: 'o' } },
      [
        ['waiting', 1, 4],
        ['shared', 4, 20],
      ],
    ],
    [
      'downloading layer',
      { startedAt: at(5), downloadedBytes: 500 },
      [
        ['waiting', 1, 5],
        ['downloading', 5, 20],
      ],
    ],
    [
      'projection is clipped at the axis end',
      { startedAt: at(1), downloadedBytes: 500, totalBytes: 1000, bytesPerSec: 100 },
      [
        ['waiting', 1, 1],
        ['downloading', 1, 20],
        ['projected', 20, 22.5],
      ],
    ],
    [
      'downloaded layer waits for its parent',
      { state: 'downloaded', startedAt: at(5), downloadedAt: at(8) },
      [
        ['waiting', 1, 5],
        ['downloading', 5, 8],
        ['parent', 8, 20],
      ],
    ],
    [
      'extracting layer',
      { state: 'extracting', startedAt: at(5), downloadedAt: at(8), extractingAt: at(9) },
      [
        ['waiting', 1, 5],
        ['downloading', 5, 8],
        ['parent', 8, 9],
        ['extracting', 9, 20],
      ],
    ],
    [
      'complete layer',
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
      'extracting layer with a cached blob',
      { state: 'extracting', blobCached: true, extractingAt: at(3) },
      [['extracting', 3, 20]],
    ],
    ['complete layer without times has no segments', { state: 'complete' }, []],
    [
      'unknown download end leaves a gap',
      { state: 'extracting', startedAt: at(5), extractingAt: at(9) },
      [
        ['waiting', 1, 5],
        ['extracting', 9, 20],
      ],
    ],
    [
      'unordered times do not overlap',
      { state: 'complete', startedAt: at(9), downloadedAt: at(5), extractingAt: at(10), completedAt: at(11) },
      [
        ['waiting', 1, 9],
        ['parent', 9, 10],
        ['extracting', 10, 11],
      ],
    ],
    [
      'early start is clipped at the axis start',
      { state: 'downloaded', startedAt: at(-3600), downloadedAt: at(4) },
      [
        ['downloading', 0, 4],
        ['parent', 4, 20],
      ],
    ],
    [
      'future times are clipped at the axis end',
      { state: 'extracting', startedAt: at(3600), downloadedAt: at(3700), extractingAt: at(3800) },
      [
        ['waiting', 1, 22.5],
        ['downloading', 22.5, 22.5],
        ['parent', 22.5, 22.5],
      ],
    ],
    ['invalid times are ignored', { startedAt: 'soon', downloadedAt: '' }, []],
    ['unknown state has no segments', { state: 'thawing' as LayerStatus['state'] }, []],
  ];
  test.each(cases)('%s', (_, more, expected) => {
    expect(drawn(live(), layer('a', more))).toEqual(expected);
  });

  test('waiting starts at its own time without manifest', () => {
    const waits = layer('a', { state: 'waiting', waitingOn: { kind: 'download_slot', since: at(7) } });
    expect(drawn(pull('p'), waits)).toEqual([['waiting', 7, 20]]);
  });

  test('segments end with the pull', () => {
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

  test('stale pull ends at its last observation', () => {
    const stale = live({ staleSince: at(10) });
    expect(drawn(stale, layer('a', { startedAt: at(2), downloadedBytes: 1, bytesPerSec: 10 }))).toEqual([
      ['waiting', 1, 2],
      ['downloading', 2, 10],
    ]);
  });

  test('projection ends with the pull', () => {
    const one = layer('a', { startedAt: at(1), downloadedBytes: 0, totalBytes: 1e6, bytesPerSec: 1 });
    expect(drawn(live({ etaSeconds: 30 }), one).at(-1)).toEqual(['projected', 20, 50]);
  });

  test('segments stay ordered and on the axis', () => {
    const instants = [at(-50), at(3), at(19), at(4000), 'never', undefined];
    for (const startedAt of instants)
      for (const downloadedAt of instants)
        for (const extractingAt of instants)
          for (const completedAt of instants)
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

describe('waterfall axis', () => {
  const axisOf = (row: PullStatus, when = now) => waterfall(row, [], when).axis;
  const labels = (row: PullStatus, when = now) => axisOf(row, when).ticks.map(({ label }) => label);

  test('extends past the projected end of live pulls', () => {
    const axis = axisOf(live({ etaSeconds: 20 }));
    expect((axis.end - axis.start) / 1000).toBe(45);
    expect(axis.now).toBeCloseTo(20 / 45);
    expect(axis.ready).toBeCloseTo(40 / 45);
    expect(labels(live({ etaSeconds: 20 }))).toEqual(['0 s', '10 s', '20 s', '30 s', '40 s']);
  });

  test('ends with an ended pull', () => {
    const axis = axisOf(ended('p', { completedAt: at(5) }));
    expect((axis.end - axis.start) / 1000).toBe(5);
    expect([axis.now, axis.ready]).toEqual([undefined, undefined]);
    expect(labels(ended('p', { completedAt: at(0.4) }))).toEqual(['0 s', '0.1 s', '0.2 s', '0.3 s', '0.4 s']);
  });

  test('keeps a quarter for the past', () => {
    const axis = axisOf(live({ etaSeconds: 36_000 }));
    expect(axis.now).toBeGreaterThan(0.2);
    expect(axis.ready).toBeUndefined();
  });

  test('never ends before its start', () => {
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

  test('starts now when the start time is invalid', () => {
    const axis = axisOf(live({ startedAt: 'yesterday' }));
    expect(axis.start).toBe(now);
    expect(axis.end).toBeGreaterThan(now);
  });
});

describe('critical layer', () => {
  const which = (...layers: LayerStatus[]) => criticalLayer(live(), layers, now);
  const downloading = (left: number, speed?: number) =>
    layer('a', { totalBytes: left, downloadedBytes: 0, ...(speed ? { bytesPerSec: speed } : {}) });

  test('is the one that arrives last', () => {
    expect(which(downloading(100, 10), downloading(1000, 10), downloading(500, 10))).toBe(1);
    expect(which(downloading(100, 1), downloading(1000, 100))).toBe(0);
  });

  test('is the largest when no speed is known', () => {
    expect(which(downloading(100), downloading(1000), downloading(500))).toBe(1);
  });

  test('is the unpacking one when others arrive earlier', () => {
    const done = layer('d', { state: 'complete', totalBytes: 100, extractingAt: at(0), completedAt: at(10) });
    const unpacks = layer('x', { state: 'extracting', totalBytes: 1000, extractingAt: at(19) });
    expect(which(done, unpacks, downloading(50, 10))).toBe(1);
    expect(which(done, unpacks, downloading(5000, 10))).toBe(2);
  });

  test('is undefined for single-layer, ended or stale pulls', () => {
    const two = [downloading(1), downloading(2)];
    expect(which(downloading(1))).toBeUndefined();
    expect(criticalLayer(ended('p'), two, now)).toBeUndefined();
    expect(criticalLayer(live({ staleSince: at(3) }), two, now)).toBeUndefined();
    expect(which(layer('a', { state: 'cached' }), layer('b', { state: 'complete' }))).toBeUndefined();
  });
});
