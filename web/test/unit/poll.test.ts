import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { RequestError } from '../../src/api/events';
import type { PullStatus } from '../../src/api/gen/wire';
import { MAX_IDS, VisibleLayers } from '../../src/live/layers';
import { type Get, Poll } from '../../src/live/poll';
import { ended, layer, pull } from './fixtures';

let requests: string[];
let answer: (path: string) => Promise<unknown>;
let state: string;
let listeners: Set<() => void>;

const get: Get = (path) => {
  requests.push(path);
  return answer(path);
};
const stream = {
  connection: () => ({ state }),
  onConnection: (listener: () => void) => {
    listeners.add(listener);
    return () => listeners.delete(listener);
  },
  token: () => undefined,
};
const setConnection = (next: string): void => {
  state = next;
  for (const listener of listeners) listener();
};
const advance = (ms: number) => vi.advanceTimersByTimeAsync(ms);

beforeEach(() => {
  vi.useFakeTimers();
  requests = [];
  listeners = new Set();
  state = 'live';
  answer = () => Promise.resolve(requests.length);
});
afterEach(() => {
  vi.useRealTimers();
});

test('poll runs only while subscribed', async () => {
  const poll = new Poll<number>(get, stream, 1_000, () => 'a');
  await advance(5_000);
  expect(requests).toEqual([]);
  const listener = vi.fn();
  const unsubscribe = poll.subscribe(listener);
  await advance(2_500);
  expect(requests).toHaveLength(3);
  expect(poll.result()).toEqual({ value: 3 });
  expect(listener).toHaveBeenCalledTimes(3);
  unsubscribe();
  await advance(5_000);
  expect(requests).toHaveLength(3);
  expect(listeners.size).toBe(0);
});

test('poll pauses while the stream is disconnected', async () => {
  setConnection('connecting');
  const poll = new Poll<number>(get, stream, 1_000, () => 'a');
  const unsubscribe = poll.subscribe(() => {});
  await advance(3_000);
  expect(requests).toEqual([]);
  setConnection('live');
  await advance(0);
  expect(requests).toHaveLength(1);
  setConnection('lost');
  await advance(5_000);
  expect(requests).toHaveLength(1);
  unsubscribe();
});

test('failure keeps the last value until success', async () => {
  const poll = new Poll<number>(get, stream, 1_000, () => 'a');
  const unsubscribe = poll.subscribe(() => {});
  await advance(0);
  answer = () => Promise.reject(new RequestError({ kind: 'forbidden' }));
  await advance(1_000);
  expect(poll.result()).toEqual({ value: 1, failure: { kind: 'forbidden' } });
  answer = () => Promise.resolve(9);
  await advance(1_000);
  expect(poll.result()).toEqual({ value: 9 });
  unsubscribe();
});

test('late answer is ignored after unsubscribing', async () => {
  let resolveAnswer: (value: unknown) => void = () => {};
  answer = () => new Promise((resolve) => (resolveAnswer = resolve));
  const poll = new Poll<number>(get, stream, 1_000, () => 'a');
  const listener = vi.fn();
  poll.subscribe(listener)();
  resolveAnswer(1);
  await advance(5_000);
  expect(listener).not.toHaveBeenCalled();
  expect(requests).toHaveLength(1);
});

/** Known rows, with their layers served by the API. */
function serverWith(rows: PullStatus[]) {
  const known = new Map(rows.map((row) => [row.id, row]));
  const layers = new VisibleLayers(get, stream, (id) => known.get(id));
  answer = (path) => {
    const ids = new URL(path, 'http://x').searchParams.get('id')?.split(',') ?? [];
    const pulls = ids.map((id) => ({ ...known.get(id), layers: [layer('a')] }));
    return Promise.resolve({ pulls });
  };
  return { known, layers };
}

test('visible rows share one request per second', async () => {
  const { layers } = serverWith([pull('a', { layerCount: 1 }), pull('b', { layerCount: 1 })]);
  const listener = vi.fn();
  const unsubscribes = ['a', 'b', 'a'].map((id) => layers.subscribe(id, listener));
  await advance(100);
  expect(requests.at(-1)).toBe('api/v1/pulls?layers=embed&id=a,b');
  expect(layers.get('a')).toEqual([layer('a')]);
  const sofar = requests.length;
  await advance(3_000);
  expect(requests).toHaveLength(sofar + 3);
  for (const unsubscribe of unsubscribes) unsubscribe();
  await advance(3_000);
  expect(requests).toHaveLength(sofar + 3);
  expect(layers.get('a')).toBeUndefined();
});

test('ended row is requested once', async () => {
  const { known, layers } = serverWith([pull('a', { layerCount: 1 })]);
  layers.subscribe('a', () => {});
  await advance(1_500);
  known.set('a', ended('a', { layerCount: 1 }));
  await advance(1_000);
  const sofar = requests.length;
  await advance(10_000);
  expect(requests).toHaveLength(sofar);
});

test('row without manifest is not requested', async () => {
  const { known, layers } = serverWith([pull('a', { phase: 'resolving' })]);
  layers.subscribe('a', () => {});
  await advance(5_000);
  expect(requests).toEqual([]);
  known.set('a', pull('a', { layerCount: 1 }));
  await advance(1_100);
  expect(layers.get('a')).toEqual([layer('a')]);
});

test('many visible rows are requested in turn', async () => {
  const rows = Array.from({ length: MAX_IDS + 10 }, (_, i) => pull(`p${i}`, { layerCount: 1 }));
  const { layers } = serverWith(rows);
  for (const { id } of rows) layers.subscribe(id, () => {});
  await advance(100);
  expect(requests.at(-1)?.split(',')).toHaveLength(MAX_IDS);
  await advance(1_100);
  expect(rows.filter(({ id }) => layers.get(id) === undefined)).toEqual([]);
});

test('invalid answers are ignored', async () => {
  const { layers } = serverWith([pull('a', { layerCount: 1 })]);
  for (const invalid of [null, 7, {}, { pulls: 'no' }, { pulls: [null, { id: 'a' }] }]) {
    answer = () => Promise.resolve(invalid);
    const unsubscribe = layers.subscribe('a', () => {});
    await advance(1_500);
    expect(layers.get('a')).toBeUndefined();
    unsubscribe();
  }
});
