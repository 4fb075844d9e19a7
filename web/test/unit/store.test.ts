import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { FLUSH_MS, Store } from '../../src/live/store';
import { at, ended, frame, layer, motion, node, pull, T0 } from './fixtures';

let store: Store;

beforeEach(() => {
  vi.useFakeTimers({ now: Date.parse(T0) });
  store = new Store();
});
afterEach(() => {
  vi.useRealTimers();
});

const flush = () => vi.advanceTimersByTime(FLUSH_MS);
const ids = () => [...store.dataset().rows.keys()].sort();

/** A complete snapshot of `epoch`. */
function snapshot(epoch: string, seq: number, more: Parameters<typeof frame>[1]): void {
  store.handleEvent('frame', frame(seq, more), `${epoch}-${seq}`);
  store.handleEvent('snapshot-end', '{}', `${epoch}-${seq}`);
}

test('first snapshot is shown while loading', () => {
  store.handleEvent('frame', frame(1, { rows: [pull('a')] }), 'e-1');
  flush();
  expect(ids()).toEqual(['a']);
  expect(store.syncState()).toBe('loading');
  expect(store.resumeId()).toBeUndefined();
  store.handleEvent('frame', frame(1, { rows: [pull('b')] }), 'e-1');
  store.handleEvent('snapshot-end', '{}', 'e-1');
  flush();
  expect(ids()).toEqual(['a', 'b']);
  expect(store.syncState()).toBe('synced');
  expect(store.resumeId()).toBe('e-1');
});

test('motion replaces progress fields and drops nulls', () => {
  snapshot('e', 1, { rows: [pull('a', { percent: 10, bytesPerSec: 7, etaSeconds: 9 })] });
  flush();
  const before = store.row('a');
  store.handleEvent('frame', frame(2, { up: [motion('a', { percent: 20 })] }), 'e-2');
  flush();
  const after = store.row('a');
  expect(after).toMatchObject({ percent: 20, imageRef: before?.imageRef });
  expect(after).not.toHaveProperty('bytesPerSec');
  expect(after).not.toHaveProperty('etaSeconds');
  expect(before).toMatchObject({ percent: 10, bytesPerSec: 7 });
});

test('removed pull disappears', () => {
  snapshot('e', 1, { rows: [pull('a'), ended('b')], nodes: [node('n1')] });
  store.handleEvent('frame', frame(2, { rm: ['b'] }), 'e-2');
  flush();
  expect(ids()).toEqual(['a']);
});

test('removed node disappears', () => {
  snapshot('e', 1, { nodes: [node('n1'), node('n2')] });
  store.handleEvent('frame', frame(2, { nodes: [node('n2', { removed: true })] }), 'e-2');
  flush();
  expect([...store.dataset().nodes.keys()]).toEqual(['n1']);
});

test('100 frames notify once', () => {
  snapshot('e', 1, { rows: [pull('a')] });
  flush();
  const listener = vi.fn();
  store.onRow('a', listener);
  for (let seq = 2; seq <= 101; seq += 1) {
    store.handleEvent('frame', frame(seq, { up: [motion('a', { downloadedBytes: seq })] }), `e-${seq}`);
  }
  flush();
  expect(listener).toHaveBeenCalledTimes(1);
  expect(store.row('a')?.downloadedBytes).toBe(101);
});

test('only changed rows notify', () => {
  snapshot('e', 1, { rows: [pull('a'), pull('b')] });
  flush();
  const a = vi.fn();
  const b = vi.fn();
  store.onRow('a', a);
  store.onRow('b', b);
  store.handleEvent('frame', frame(2, { up: [motion('a', { downloadedBytes: 5 })] }), 'e-2');
  flush();
  expect(a).toHaveBeenCalledTimes(1);
  expect(b).not.toHaveBeenCalled();
});

test('invalid frames are counted and skipped', () => {
  snapshot('e', 1, { rows: [pull('a')] });
  for (const bad of ['', 'null', '[]', '"text"', '{"seq":"x"}', '{"now":1}', '{"seq":2']) {
    store.handleEvent('frame', bad, 'e-2');
  }
  expect(store.dropCounts.invalid).toBe(7);
  store.handleEvent(
    'frame',
    '{"seq":3,"rows":[7,{"id":"x"},null],"up":{},"rm":[1],"nodes":[{}],"new":1}',
    'e-3',
  );
  expect(store.dropCounts.invalid).toBe(7 + 3 + 1 + 1 + 1);
  store.handleEvent('some-day', '{"what":"ever"}', 'e-3');
  store.handleEvent('frame', frame(4, { rows: [pull('b')] }), 'e-4');
  flush();
  expect(ids()).toEqual(['a', 'b']);
});

test('motion of an unknown row is counted', () => {
  snapshot('e', 1, { rows: [pull('a')] });
  store.handleEvent('frame', frame(2, { up: [motion('x', { percent: 1 })] }), 'e-2');
  expect(store.dropCounts.unknownRows).toBe(1);
});

test('older frame is dropped', () => {
  snapshot('e', 5, { rows: [pull('a')] });
  store.handleEvent('frame', frame(7, { up: [motion('a', { downloadedBytes: 700 })] }), 'e-7');
  store.handleEvent('frame', frame(6, { up: [motion('a', { downloadedBytes: 600 })] }), 'e-6');
  flush();
  expect(store.row('a')?.downloadedBytes).toBe(700);
  expect(store.dropCounts.outOfOrder).toBe(1);
});

test('old rows stay until the snapshot completes', () => {
  snapshot('e', 9, { rows: [pull('a', { percent: 50 }), pull('gone')], nodes: [node('n1')] });
  flush();
  store.handleEvent('reset', '{}', '');
  store.handleEvent(
    'frame',
    frame(3, { rows: [pull('b'), pull('a', { percent: 60 })], nodes: [node('n1')] }),
    'e-3',
  );
  flush();
  expect(store.syncState()).toBe('resyncing');
  expect(store.resumeId()).toBeUndefined();
  expect(ids()).toEqual(['a', 'gone']);
  expect(store.row('a')?.percent).toBe(50);
  store.handleEvent('snapshot-end', '{}', 'e-3');
  flush();
  expect(ids()).toEqual(['a', 'b']);
  expect(store.row('a')?.percent).toBe(60);
  expect(store.row('gone')).toBeUndefined();
  expect(store.resumeId()).toBe('e-3');
});

test('interrupted snapshot starts over', () => {
  store.handleEvent('frame', frame(1, { rows: [pull('a')] }), 'e-1');
  flush();
  expect(store.resumeId()).toBeUndefined();
  store.beginSnapshot();
  snapshot('e', 2, { rows: [pull('b')], nodes: [node('n1')] });
  flush();
  expect(ids()).toEqual(['b']);
});

test('rows are retained as stale after restart', () => {
  snapshot('e1', 9, { rows: [pull('a'), ended('b')], nodes: [node('n1')] });
  flush();
  store.handleEvent('reset', '{}', '');
  store.handleEvent('snapshot-end', '{}', 'e2-1');
  flush();
  expect(ids()).toEqual(['a', 'b']);
  expect(store.row('a')?.staleSince).toBeDefined();
  expect(store.row('b')?.staleSince).toBeUndefined();
  expect(store.node('n1')?.state).toBe('lost');

  store.handleEvent('frame', frame(2, { rows: [pull('a', { percent: 70 })], nodes: [node('n1')] }), 'e2-2');
  flush();
  expect(store.row('a')).toEqual(pull('a', { percent: 70 }));
  expect(store.node('n1')?.state).toBe('live');
  // The node has sent its full state, without 'b'.
  vi.advanceTimersByTime(5_000);
  expect(ids()).toEqual(['a']);
});

test('rows are retained until a node reports fully', () => {
  snapshot('e1', 9, { rows: [pull('a'), ended('b')], nodes: [node('n1')] });
  flush();
  store.handleEvent('reset', '{}', '');
  // The node sent only changes; the server has requested the rest.
  snapshot('e2', 1, { rows: [], nodes: [node('n1')] });
  flush();
  expect(ids()).toEqual(['a', 'b']);
  expect(store.node('n1')?.state).toBe('live');
  vi.advanceTimersByTime(1_000);
  store.handleEvent('frame', frame(2, { rows: [pull('a', { percent: 70 })] }), 'e2-2');
  vi.advanceTimersByTime(3_000);
  expect(ids()).toEqual(['a']);
});

test('missing node is removed after the grace period', () => {
  snapshot('e1', 9, { rows: [pull('a')], nodes: [node('n1')] });
  flush();
  store.handleEvent('reset', '{}', '');
  store.handleEvent('snapshot-end', '{}', 'e2-1');
  vi.advanceTimersByTime(14_000);
  expect(ids()).toEqual(['a']);
  vi.advanceTimersByTime(3_000);
  expect(ids()).toEqual([]);
  expect([...store.dataset().nodes.keys()]).toEqual([]);
});

test('server time corrects a wrong local clock', () => {
  vi.setSystemTime(Date.parse(T0) - 3_600_000);
  store.connected();
  store.handleEvent('frame', frame(0), 'e-0');
  expect(store.serverNow()).toBe(Date.parse(T0));
  // A frame delayed by two seconds gives a worse estimate and is ignored.
  vi.advanceTimersByTime(3_000);
  store.handleEvent('frame', JSON.stringify({ seq: 1, now: at(1) }), 'e-1');
  expect(store.serverNow()).toBe(Date.parse(at(3)));
});

test('only observed failures are announced', () => {
  snapshot('e', 1, { rows: [pull('a'), ended('old', { phase: 'failed', outcome: 'failed' })] });
  flush();
  expect(store.lastFailed()).toBeUndefined();
  const failed = ended('a', { phase: 'failed', outcome: 'failed' });
  store.handleEvent('frame', frame(2, { rows: [failed] }), 'e-2');
  flush();
  expect(store.lastFailed()).toEqual(failed);
});

test('superseding row replaces the old one', () => {
  snapshot('e', 1, { rows: [pull('announced', { phase: 'queued' }), pull('b')] });
  flush();
  store.handleEvent('frame', frame(2, { rows: [pull('lease', { supersedes: 'announced' })] }), 'e-2');
  flush();
  expect(ids()).toEqual(['b', 'lease']);
  expect(store.stableIds.stableId('lease')).toBe('announced');
  // Later the server also removes the old row and repeats the new one.
  store.handleEvent(
    'frame',
    frame(3, { rm: ['announced'], rows: [pull('lease', { supersedes: 'announced' })] }),
    'e-3',
  );
  flush();
  expect(store.stableIds.stableId('lease')).toBe('announced');
  store.handleEvent('frame', frame(4, { rows: [pull('third', { supersedes: 'lease' })] }), 'e-4');
  flush();
  expect(store.stableIds.stableId('third')).toBe('announced');
  store.handleEvent('frame', frame(5, { rm: ['third'] }), 'e-5');
  store.handleEvent('frame', frame(5, { rows: [pull('third')] }), 'e-5');
  flush();
  store.handleEvent('frame', frame(6, { rm: ['third'] }), 'e-6');
  flush();
  expect(store.stableIds.stableId('third')).toBe('third');
  // A row that is added and removed before a flush is forgotten, too.
  store.handleEvent('frame', frame(7, { rows: [pull('fourth', { supersedes: 'b' })] }), 'e-7');
  store.handleEvent('frame', frame(8, { rm: ['fourth'] }), 'e-8');
  flush();
  expect(store.stableIds.stableId('fourth')).toBe('fourth');
});

test('supersedes is ignored across nodes and for itself', () => {
  snapshot('e', 1, { rows: [pull('a', { nodeName: 'n2' }), pull('b', { supersedes: 'a' })] });
  store.handleEvent('frame', frame(2, { rows: [pull('c', { supersedes: 'c' })] }), 'e-2');
  flush();
  expect(ids()).toEqual(['a', 'b', 'c']);
});

test('superseded row is not retained after restart', () => {
  snapshot('e', 1, { rows: [pull('announced', { phase: 'queued' })], nodes: [node('n1')] });
  flush();
  store.handleEvent('reset', '{}', '');
  snapshot('f', 1, { rows: [pull('lease', { supersedes: 'announced' })], nodes: [node('n1')] });
  flush();
  expect(ids()).toEqual(['lease']);
});

test('retries of a failure are not announced', () => {
  const failed = (id: string, attempt: number) =>
    ended(id, { phase: 'failed', outcome: 'failed', failure: { reason: 'not_found' }, attempt });
  snapshot('e', 1, { rows: [failed('old', 1)] });
  flush();
  expect(store.lastFailed()).toBeUndefined();
  store.handleEvent('frame', frame(2, { rows: [failed('a', 1)] }), 'e-2');
  flush();
  expect(store.lastFailed()?.id).toBe('a');
  store.handleEvent('frame', frame(3, { rows: [{ ...failed('b', 2), supersedes: 'a' }] }), 'e-3');
  flush();
  expect(store.lastFailed()?.id).toBe('a');
  expect(ids()).toEqual(['b', 'old']);
});

test('invalid fields are dropped and counted', () => {
  const link = { namespace: 'shop', podName: 'web', uid: 'u', container: 'app', image: 'a' };
  const malformed = [
    { pods: {} },
    { pods: [{ namespace: 'a' }, link] },
    { candidates: [null] },
    { failure: 'no' },
    { failure: { reason: 'dns', hint: 7 } },
    { waitingOn: {} },
    { kubelet: 5 },
    { layers: [layer('a'), { digest: 'x' }] },
    { imageRef: { a: 1 } },
  ];
  const rows = malformed.map((more, i) => ({ ...pull(`odd${i}`), ...more }));
  const none = [null, 7, {}, { ...pull('x'), nodeName: '' }];
  store.handleEvent(
    'frame',
    JSON.stringify({ seq: 1, now: T0, rows: [...rows, ...none, pull('good')] }),
    'e-1',
  );
  flush();
  expect(store.dropCounts.invalid).toBe(malformed.length + none.length);
  expect(ids()).toEqual(['good', ...rows.map(({ id }) => id)]);
  expect(store.row('odd1')?.pods).toEqual([link]);
  for (const { id } of rows.slice(2)) {
    expect(store.row(id)?.candidates ?? [], id).toEqual([]);
    for (const field of ['failure', 'waitingOn', 'kubelet', 'layers']) {
      expect(store.row(id), id).not.toHaveProperty(field);
    }
  }
});

test('paused store applies changes when resumed', () => {
  snapshot('e', 1, { rows: [pull('a', { percent: 10 })] });
  flush();
  store.pause(true);
  store.handleEvent('frame', frame(2, { rows: [pull('a', { percent: 20 }), pull('b')] }), 'e-2');
  flush();
  expect(store.row('a')?.percent).toBe(10);
  expect(ids()).toEqual(['a']);
  expect(store.pendingChanges()).toBe(2);
  store.pause(false);
  expect(store.row('a')?.percent).toBe(20);
  expect(ids()).toEqual(['a', 'b']);
  expect(store.pendingChanges()).toBe(0);
});

test('paused store stays unchanged across a restart', () => {
  snapshot('e1', 9, { rows: [pull('a'), pull('b')], nodes: [node('n1')] });
  flush();
  store.pause(true);
  store.handleEvent('reset', '{}', '');
  flush();
  snapshot('e2', 1, { rows: [pull('a')], nodes: [node('n1')] });
  vi.advanceTimersByTime(20_000);
  expect(ids()).toEqual(['a', 'b']);
  store.pause(false);
  expect(ids()).toEqual(['a']);
});

test('dataset updates are throttled with many rows', () => {
  const listener = vi.fn();
  store.onDataset(listener);
  const seconds = (rows: number, seq: number) => {
    snapshot('e', seq, { rows: Array.from({ length: rows }, (_, i) => pull(`p${i}`)) });
    vi.advanceTimersByTime(3_000);
    listener.mockClear();
    for (let i = 1; i <= 8; i += 1) {
      store.handleEvent(
        'frame',
        frame(seq + i, { up: [motion('p1', { downloadedBytes: i })] }),
        `e-${seq + i}`,
      );
      flush();
    }
    return listener.mock.calls.length;
  };
  expect(seconds(10, 1)).toBe(8);
  // Immediately, and after each of the two seconds.
  expect(seconds(1_500, 20)).toBe(3);
});
