import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { FLUSH_MS, Store } from '../../src/live/store';
import { at, ended, frame, layer, motion, node, pull, T0 } from './some';

let store: Store;

beforeEach(() => {
  vi.useFakeTimers({ now: Date.parse(T0) });
  store = new Store();
});
afterEach(() => {
  vi.useRealTimers();
});

const flush = () => vi.advanceTimersByTime(FLUSH_MS);
const ids = () => [...store.all().rows.keys()].sort();

/** A whole snapshot of epoch `epoch`, as a stream says it. */
function snapshot(epoch: string, seq: number, more: Parameters<typeof frame>[1]): void {
  store.event('frame', frame(seq, more), `${epoch}-${seq}`);
  store.event('snapshot-end', '{}', `${epoch}-${seq}`);
}

test('the first snapshot shows as it comes', () => {
  store.event('frame', frame(1, { rows: [pull('a')] }), 'e-1');
  flush();
  expect(ids()).toEqual(['a']);
  expect(store.sync()).toBe('filling');
  expect(store.position()).toBeUndefined();
  store.event('frame', frame(1, { rows: [pull('b')] }), 'e-1');
  store.event('snapshot-end', '{}', 'e-1');
  flush();
  expect(ids()).toEqual(['a', 'b']);
  expect(store.sync()).toBe('whole');
  expect(store.position()).toBe('e-1');
});

test('a motion replaces what moves, and what it leaves out is unknown', () => {
  const layers = [layer('a', { downloadedBytes: 1, bytesPerSec: 5 }), layer('b')];
  snapshot('e', 1, { rows: [pull('a', { percent: 10, bytesPerSec: 7, etaSeconds: 9, layers })] });
  flush();
  const before = store.row('a');
  store.event('frame', frame(2, { up: [motion('a', { percent: 20 }, [[0, 500, null, null]])] }), 'e-2');
  flush();
  const after = store.row('a');
  expect(after).toMatchObject({ percent: 20, imageRef: before?.imageRef });
  expect(after).not.toHaveProperty('bytesPerSec');
  expect(after).not.toHaveProperty('etaSeconds');
  expect(after?.layers?.[0]).toEqual(layer('a', { downloadedBytes: 500 }));
  expect(after?.layers?.[1]).toBe(before?.layers?.[1]);
  expect(before).toMatchObject({ percent: 10, bytesPerSec: 7 });
});

test('a pull that the server forgot goes', () => {
  snapshot('e', 1, { rows: [pull('a'), ended('b')], nodes: [node('n1')] });
  store.event('frame', frame(2, { rm: ['b'] }), 'e-2');
  flush();
  expect(ids()).toEqual(['a']);
});

test('a node that the server keeps no more goes', () => {
  snapshot('e', 1, { nodes: [node('n1'), node('n2')] });
  store.event('frame', frame(2, { nodes: [node('n2', { removed: true })] }), 'e-2');
  flush();
  expect([...store.all().nodes.keys()]).toEqual(['n1']);
});

test('a hundred frames in a moment are drawn once', () => {
  snapshot('e', 1, { rows: [pull('a')] });
  flush();
  const heard = vi.fn();
  store.onRow('a', heard);
  for (let seq = 2; seq <= 101; seq += 1) {
    store.event('frame', frame(seq, { up: [motion('a', { downloadedBytes: seq })] }), `e-${seq}`);
  }
  flush();
  expect(heard).toHaveBeenCalledTimes(1);
  expect(store.row('a')?.downloadedBytes).toBe(101);
});

test('only the rows that changed are told', () => {
  snapshot('e', 1, { rows: [pull('a'), pull('b')] });
  flush();
  const a = vi.fn();
  const b = vi.fn();
  store.onRow('a', a);
  store.onRow('b', b);
  store.event('frame', frame(2, { up: [motion('a', { downloadedBytes: 5 })] }), 'e-2');
  flush();
  expect(a).toHaveBeenCalledTimes(1);
  expect(b).not.toHaveBeenCalled();
});

test('frames that are none are counted, and the page goes on', () => {
  snapshot('e', 1, { rows: [pull('a')] });
  for (const bad of ['', 'null', '[]', '"text"', '{"seq":"x"}', '{"now":1}', '{"seq":2']) {
    store.event('frame', bad, 'e-2');
  }
  expect(store.counts.notUnderstood).toBe(7);
  store.event('frame', '{"seq":3,"rows":[7,{"id":"x"},null],"up":{},"rm":[1],"nodes":[{}],"new":1}', 'e-3');
  expect(store.counts.notUnderstood).toBe(7 + 3 + 1 + 1 + 1);
  store.event('some-day', '{"what":"ever"}', 'e-3');
  store.event('frame', frame(4, { rows: [pull('b')] }), 'e-4');
  flush();
  expect(ids()).toEqual(['a', 'b']);
});

test('a motion of a row or layer that is not known is counted', () => {
  snapshot('e', 1, { rows: [pull('a', { layers: [layer('a')] })] });
  store.event('frame', frame(2, { up: [motion('x', { percent: 1 })] }), 'e-2');
  store.event('frame', frame(3, { up: [motion('a', {}, [[7, 1, null, null]])] }), 'e-3');
  expect(store.counts.unknownRow).toBe(2);
});

test('an older frame does not undo a newer one', () => {
  snapshot('e', 5, { rows: [pull('a')] });
  store.event('frame', frame(7, { up: [motion('a', { downloadedBytes: 700 })] }), 'e-7');
  store.event('frame', frame(6, { up: [motion('a', { downloadedBytes: 600 })] }), 'e-6');
  flush();
  expect(store.row('a')?.downloadedBytes).toBe(700);
  expect(store.counts.outOfOrder).toBe(1);
});

test('after a reset the old rows stay until the new snapshot is whole', () => {
  snapshot('e', 9, { rows: [pull('a', { percent: 50 }), pull('gone')], nodes: [node('n1')] });
  flush();
  store.event('reset', '{}', '');
  store.event(
    'frame',
    frame(3, { rows: [pull('b'), pull('a', { percent: 60 })], nodes: [node('n1')] }),
    'e-3',
  );
  flush();
  expect(store.sync()).toBe('refilling');
  expect(store.position()).toBeUndefined();
  expect(ids()).toEqual(['a', 'gone']);
  expect(store.row('a')?.percent).toBe(50);
  store.event('snapshot-end', '{}', 'e-3');
  flush();
  expect(ids()).toEqual(['a', 'b']);
  expect(store.row('a')?.percent).toBe(60);
  expect(store.row('gone')).toBeUndefined();
  expect(store.position()).toBe('e-3');
});

test('a cut within a snapshot begins it again', () => {
  store.event('frame', frame(1, { rows: [pull('a')] }), 'e-1');
  flush();
  expect(store.position()).toBeUndefined();
  store.begin();
  snapshot('e', 2, { rows: [pull('b')], nodes: [node('n1')] });
  flush();
  expect(ids()).toEqual(['b']);
});

test('after a restart of the server a node keeps its rows, as not seen, until it reports again', () => {
  snapshot('e1', 9, { rows: [pull('a'), ended('b')], nodes: [node('n1')] });
  flush();
  store.event('reset', '{}', '');
  store.event('snapshot-end', '{}', 'e2-1');
  flush();
  expect(ids()).toEqual(['a', 'b']);
  expect(store.row('a')?.staleSince).toBeDefined();
  expect(store.row('b')?.staleSince).toBeUndefined();
  expect(store.node('n1')?.state).toBe('lost');

  store.event('frame', frame(2, { rows: [pull('a', { percent: 70 })], nodes: [node('n1')] }), 'e2-2');
  flush();
  expect(store.row('a')).toEqual(pull('a', { percent: 70 }));
  expect(store.node('n1')?.state).toBe('live');
  // It has said all that it knows, and 'b' was not in it.
  vi.advanceTimersByTime(5_000);
  expect(ids()).toEqual(['a']);
});

test('a node that a restarted server has heard but does not know all of yet keeps its rows', () => {
  snapshot('e1', 9, { rows: [pull('a'), ended('b')], nodes: [node('n1')] });
  flush();
  store.event('reset', '{}', '');
  // It was told what had changed, and has asked for the rest.
  snapshot('e2', 1, { rows: [], nodes: [node('n1')] });
  flush();
  expect(ids()).toEqual(['a', 'b']);
  expect(store.node('n1')?.state).toBe('live');
  vi.advanceTimersByTime(1_000);
  store.event('frame', frame(2, { rows: [pull('a', { percent: 70 })] }), 'e2-2');
  vi.advanceTimersByTime(3_000);
  expect(ids()).toEqual(['a']);
});

test('a node that never comes back after a restart goes in the end', () => {
  snapshot('e1', 9, { rows: [pull('a')], nodes: [node('n1')] });
  flush();
  store.event('reset', '{}', '');
  store.event('snapshot-end', '{}', 'e2-1');
  vi.advanceTimersByTime(14_000);
  expect(ids()).toEqual(['a']);
  vi.advanceTimersByTime(3_000);
  expect(ids()).toEqual([]);
  expect([...store.all().nodes.keys()]).toEqual([]);
});

test('a clock that is an hour off does not show in ages', () => {
  vi.setSystemTime(Date.parse(T0) - 3_600_000);
  store.connected();
  store.event('frame', frame(0), 'e-0');
  expect(store.now()).toBe(Date.parse(T0));
  // One that took two seconds to come says less of the difference.
  vi.advanceTimersByTime(3_000);
  store.event('frame', JSON.stringify({ seq: 1, now: at(1) }), 'e-1');
  expect(store.now()).toBe(Date.parse(at(3)));
});

test('a failure that the page saw happen is told, one that it only found is not', () => {
  snapshot('e', 1, { rows: [pull('a'), ended('old', { phase: 'failed', outcome: 'failed' })] });
  flush();
  expect(store.lastFailed()).toBeUndefined();
  const failed = ended('a', { phase: 'failed', outcome: 'failed' });
  store.event('frame', frame(2, { rows: [failed] }), 'e-2');
  flush();
  expect(store.lastFailed()).toEqual(failed);
});

test('a row that goes on under another id is one row', () => {
  snapshot('e', 1, { rows: [pull('announced', { phase: 'queued' }), pull('b')] });
  flush();
  store.event('frame', frame(2, { rows: [pull('lease', { supersedes: 'announced' })] }), 'e-2');
  flush();
  expect(ids()).toEqual(['b', 'lease']);
  expect(store.lines.first('lease')).toBe('announced');
  // The server says that the old one is gone as well, later; and the row again.
  store.event(
    'frame',
    frame(3, { rm: ['announced'], rows: [pull('lease', { supersedes: 'announced' })] }),
    'e-3',
  );
  flush();
  expect(store.lines.first('lease')).toBe('announced');
  store.event('frame', frame(4, { rows: [pull('third', { supersedes: 'lease' })] }), 'e-4');
  flush();
  expect(store.lines.first('third')).toBe('announced');
  store.event('frame', frame(5, { rm: ['third'] }), 'e-5');
  store.event('frame', frame(5, { rows: [pull('third')] }), 'e-5');
  flush();
  store.event('frame', frame(6, { rm: ['third'] }), 'e-6');
  flush();
  expect(store.lines.first('third')).toBe('third');
  // One that came and went before it was drawn is forgotten too.
  store.event('frame', frame(7, { rows: [pull('fourth', { supersedes: 'b' })] }), 'e-7');
  store.event('frame', frame(8, { rm: ['fourth'] }), 'e-8');
  flush();
  expect(store.lines.first('fourth')).toBe('fourth');
});

test('a row supersedes none of another node, and not itself', () => {
  snapshot('e', 1, { rows: [pull('a', { nodeName: 'n2' }), pull('b', { supersedes: 'a' })] });
  store.event('frame', frame(2, { rows: [pull('c', { supersedes: 'c' })] }), 'e-2');
  flush();
  expect(ids()).toEqual(['a', 'b', 'c']);
});

test('a restarted server that knows the next id of a row does not bring back the old one', () => {
  snapshot('e', 1, { rows: [pull('announced', { phase: 'queued' })], nodes: [node('n1')] });
  flush();
  store.event('reset', '{}', '');
  snapshot('f', 1, { rows: [pull('lease', { supersedes: 'announced' })], nodes: [node('n1')] });
  flush();
  expect(ids()).toEqual(['lease']);
});

test('a failure that comes from events alone is news once, and its next tries are not', () => {
  const failed = (id: string, attempt: number) =>
    ended(id, { phase: 'failed', outcome: 'failed', failure: { reason: 'not_found' }, attempt });
  snapshot('e', 1, { rows: [failed('old', 1)] });
  flush();
  expect(store.lastFailed()).toBeUndefined();
  store.event('frame', frame(2, { rows: [failed('a', 1)] }), 'e-2');
  flush();
  expect(store.lastFailed()?.id).toBe('a');
  store.event('frame', frame(3, { rows: [{ ...failed('b', 2), supersedes: 'a' }] }), 'e-3');
  flush();
  expect(store.lastFailed()?.id).toBe('a');
  expect(ids()).toEqual(['b', 'old']);
});

test('of a row, what is not understood is left out and counted, and the row stays', () => {
  const link = { namespace: 'shop', podName: 'web', uid: 'u', container: 'app', image: 'a' };
  const odd = [
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
  const rows = odd.map((more, i) => ({ ...pull(`odd${i}`), ...more }));
  const none = [null, 7, {}, { ...pull('x'), nodeName: '' }];
  store.event('frame', JSON.stringify({ seq: 1, now: T0, rows: [...rows, ...none, pull('good')] }), 'e-1');
  flush();
  expect(store.counts.notUnderstood).toBe(odd.length + none.length);
  expect(ids()).toEqual(['good', ...rows.map(({ id }) => id)]);
  expect(store.row('odd1')?.pods).toEqual([link]);
  for (const { id } of rows.slice(2)) {
    expect(store.row(id)?.candidates ?? [], id).toEqual([]);
    for (const field of ['failure', 'waitingOn', 'kubelet', 'layers']) {
      expect(store.row(id), id).not.toHaveProperty(field);
    }
  }
});

test('a page that is held takes everything in, shows nothing of it, and then all at once', () => {
  snapshot('e', 1, { rows: [pull('a', { percent: 10 })] });
  flush();
  store.pause(true);
  store.event('frame', frame(2, { rows: [pull('a', { percent: 20 }), pull('b')] }), 'e-2');
  flush();
  expect(store.row('a')?.percent).toBe(10);
  expect(ids()).toEqual(['a']);
  expect(store.waiting()).toBe(2);
  store.pause(false);
  expect(store.row('a')?.percent).toBe(20);
  expect(ids()).toEqual(['a', 'b']);
  expect(store.waiting()).toBe(0);
});

test('a held page stays as it is over a restart of the server', () => {
  snapshot('e1', 9, { rows: [pull('a'), pull('b')], nodes: [node('n1')] });
  flush();
  store.pause(true);
  store.event('reset', '{}', '');
  flush();
  snapshot('e2', 1, { rows: [pull('a')], nodes: [node('n1')] });
  vi.advanceTimersByTime(20_000);
  expect(ids()).toEqual(['a', 'b']);
  store.pause(false);
  expect(ids()).toEqual(['a']);
});

test('few rows are looked at with each drawing, very many once a second', () => {
  const heard = vi.fn();
  store.onBeat(heard);
  const seconds = (rows: number, seq: number) => {
    snapshot('e', seq, { rows: Array.from({ length: rows }, (_, i) => pull(`p${i}`)) });
    vi.advanceTimersByTime(3_000);
    heard.mockClear();
    for (let i = 1; i <= 8; i += 1) {
      store.event('frame', frame(seq + i, { up: [motion('p1', { downloadedBytes: i })] }), `e-${seq + i}`);
      flush();
    }
    return heard.mock.calls.length;
  };
  expect(seconds(10, 1)).toBe(8);
  // At once, and after each second of the two.
  expect(seconds(1_500, 20)).toBe(3);
});
