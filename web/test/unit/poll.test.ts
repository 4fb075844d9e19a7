import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { Refused } from '../../src/api/events';
import type { PullStatus } from '../../src/api/gen/wire';
import { Layers, MOST } from '../../src/live/layers';
import { type Get, Poll } from '../../src/live/poll';
import { ended, layer, pull } from './some';

let asked: string[];
let answer: (path: string) => Promise<unknown>;
let state: string;
let changed: Set<() => void>;

const get: Get = (path) => {
  asked.push(path);
  return answer(path);
};
const beside = {
  connection: () => ({ state }),
  onConnection: (listener: () => void) => {
    changed.add(listener);
    return () => changed.delete(listener);
  },
  token: () => undefined,
};
const connection = (next: string): void => {
  state = next;
  for (const listener of changed) listener();
};
const after = (ms: number) => vi.advanceTimersByTimeAsync(ms);

beforeEach(() => {
  vi.useFakeTimers();
  asked = [];
  changed = new Set();
  state = 'live';
  answer = () => Promise.resolve(asked.length);
});
afterEach(() => {
  vi.useRealTimers();
});

test('it asks while somebody listens, and no longer', async () => {
  const poll = new Poll<number>(get, beside, 1_000, () => 'a');
  await after(5_000);
  expect(asked).toEqual([]);
  const heard = vi.fn();
  const quit = poll.on(heard);
  await after(2_500);
  expect(asked).toHaveLength(3);
  expect(poll.state()).toEqual({ value: 3 });
  expect(heard).toHaveBeenCalledTimes(3);
  quit();
  await after(5_000);
  expect(asked).toHaveLength(3);
  expect(changed.size).toBe(0);
});

test('it rests while the page is cut off, and asks at once when it is back', async () => {
  connection('connecting');
  const poll = new Poll<number>(get, beside, 1_000, () => 'a');
  const quit = poll.on(() => {});
  await after(3_000);
  expect(asked).toEqual([]);
  connection('live');
  await after(0);
  expect(asked).toHaveLength(1);
  connection('lost');
  await after(5_000);
  expect(asked).toHaveLength(1);
  quit();
});

test('a refusal leaves the last answer, and is gone with the next one', async () => {
  const poll = new Poll<number>(get, beside, 1_000, () => 'a');
  const quit = poll.on(() => {});
  await after(0);
  answer = () => Promise.reject(new Refused({ kind: 'forbidden' }));
  await after(1_000);
  expect(poll.state()).toEqual({ value: 1, refusal: { kind: 'forbidden' } });
  answer = () => Promise.resolve(9);
  await after(1_000);
  expect(poll.state()).toEqual({ value: 9 });
  quit();
});

test('an answer that comes after nobody wants it any more changes nothing', async () => {
  let tell: (value: unknown) => void = () => {};
  answer = () => new Promise((resolve) => (tell = resolve));
  const poll = new Poll<number>(get, beside, 1_000, () => 'a');
  const heard = vi.fn();
  poll.on(heard)();
  tell(1);
  await after(5_000);
  expect(heard).not.toHaveBeenCalled();
  expect(asked).toHaveLength(1);
});

/** Rows that are known, and their layers as the server has them. */
function world(rows: PullStatus[]) {
  const known = new Map(rows.map((row) => [row.id, row]));
  const layers = new Layers(get, beside, (id) => known.get(id));
  answer = (path) => {
    const ids = new URL(path, 'http://x').searchParams.get('id')?.split(',') ?? [];
    const pulls = ids.map((id) => ({ ...known.get(id), layers: [layer('a')] }));
    return Promise.resolve({ pulls });
  };
  return { known, layers };
}

test('rows that come into view together are asked for together, each second while they move', async () => {
  const { layers } = world([pull('a', { layerCount: 1 }), pull('b', { layerCount: 1 })]);
  const heard = vi.fn();
  const quits = ['a', 'b', 'a'].map((id) => layers.on(id, heard));
  await after(100);
  expect(asked.at(-1)).toBe('api/v1/pulls?layers=embed&id=a,b');
  expect(layers.of('a')).toEqual([layer('a')]);
  const sofar = asked.length;
  await after(3_000);
  expect(asked).toHaveLength(sofar + 3);
  for (const quit of quits) quit();
  await after(3_000);
  expect(asked).toHaveLength(sofar + 3);
  expect(layers.of('a')).toBeUndefined();
});

test('one that has ended is asked for once', async () => {
  const { known, layers } = world([pull('a', { layerCount: 1 })]);
  layers.on('a', () => {});
  await after(1_500);
  known.set('a', ended('a', { layerCount: 1 }));
  await after(1_000);
  const sofar = asked.length;
  await after(10_000);
  expect(asked).toHaveLength(sofar);
});

test('one whose manifest is not here yet is not asked for until it is', async () => {
  const { known, layers } = world([pull('a', { phase: 'resolving' })]);
  layers.on('a', () => {});
  await after(5_000);
  expect(asked).toEqual([]);
  known.set('a', pull('a', { layerCount: 1 }));
  await after(1_100);
  expect(layers.of('a')).toEqual([layer('a')]);
});

test('of very many rows in view each has its turn', async () => {
  const rows = Array.from({ length: MOST + 10 }, (_, i) => pull(`p${i}`, { layerCount: 1 }));
  const { layers } = world(rows);
  for (const { id } of rows) layers.on(id, () => {});
  await after(100);
  expect(asked.at(-1)?.split(',')).toHaveLength(MOST);
  await after(1_100);
  expect(rows.filter(({ id }) => layers.of(id) === undefined)).toEqual([]);
});

test('an answer that is none is left out', async () => {
  const { layers } = world([pull('a', { layerCount: 1 })]);
  for (const odd of [null, 7, {}, { pulls: 'no' }, { pulls: [null, { id: 'a' }] }]) {
    answer = () => Promise.resolve(odd);
    const quit = layers.on('a', () => {});
    await after(1_500);
    expect(layers.of('a')).toBeUndefined();
    quit();
  }
});
