import { expect, test } from 'vitest';
import type { PodLink, PullStatus } from '../../src/api/gen/wire';
import { failing, failures, nextRetry } from '../../src/model/failures';
import { at, ended, pull } from './some';

const pod = (name: string): PodLink => ({
  namespace: 'shop',
  podName: name,
  uid: `uid-${name}`,
  container: 'app',
  image: 'redis:7',
});

const failed = (id: string, more: Partial<PullStatus> = {}): PullStatus =>
  ended(id, {
    phase: 'failed',
    outcome: 'failed',
    imageRef: 'docker.io/library/redis:7',
    failure: { reason: 'not_found' },
    ...more,
  });

test('what fails alike on many nodes is one failure', () => {
  const found = failures([
    failed('a', { nodeName: 'n1', completedAt: at(5), pods: [pod('a'), pod('b')] }),
    failed('b', { nodeName: 'n2', completedAt: at(9), pods: [pod('b')] }),
    failed('c', { nodeName: 'n2', completedAt: at(7), failure: { reason: 'dns' } }),
    failed('d', { nodeName: 'n2', completedAt: at(6), imageRef: 'mirror.example/library/redis:7' }),
    ended('e'),
    pull('f'),
  ]);
  expect(
    found.map(({ reason, image, pulls }) => [reason, image.registry, pulls.map(({ id }) => id)]),
  ).toEqual([
    ['not_found', 'docker.io/library', ['b', 'a']],
    ['dns', 'docker.io/library', ['c']],
    ['not_found', 'mirror.example/library', ['d']],
  ]);
  expect(found[0]).toMatchObject({
    nodes: 2,
    pods: ['shop/b', 'shop/a'],
    tries: 2,
    firstAt: Date.parse(at(5)),
    lastAt: Date.parse(at(9)),
  });
});

test('what was brought to the node since is no failure any more, on another node or before it still is', () => {
  const image = { imageRef: 'docker.io/library/redis:7' };
  const one = failed('a', { completedAt: at(10) });
  const ids = (...others: PullStatus[]) =>
    failures([one, ...others]).flatMap(({ pulls }) => pulls.map(({ id }) => id));
  expect(ids(ended('b', { ...image, completedAt: at(20) }))).toEqual([]);
  expect(ids(ended('b', { ...image, completedAt: at(9) }))).toEqual(['a']);
  expect(ids(ended('b', { ...image, completedAt: at(20), nodeName: 'n2' }))).toEqual(['a']);
  expect(ids(ended('b', { completedAt: at(20) }))).toEqual(['a']);
  // Names that are not known are not the same name.
  const { imageRef: _, ...nameless } = failed('a', { completedAt: at(10) });
  const { imageRef: __, ...brought } = ended('b', { completedAt: at(20) });
  expect(failures([nameless, brought])).toHaveLength(1);
});

test('tries are counted once, whether the rows of earlier ones are there or gone', () => {
  const pods = [pod('a')];
  const tries = (...rows: PullStatus[]) => failures(rows)[0]?.tries;
  expect(tries(failed('a', { pods, attempt: 3 }))).toBe(3);
  expect(tries(failed('a', { pods, attempt: 1 }), failed('b', { pods, attempt: 2 }))).toBe(2);
  expect(tries(failed('a', { pods, attempt: 2 }), failed('b', { pods: [pod('b')], attempt: 4 }))).toBe(6);
  // Without pods nobody numbers them.
  expect(tries(failed('a'), failed('b'))).toBe(2);
});

test('what is tried again just now still fails, and the try counts', () => {
  const pods = [pod('a')];
  const imageRef = 'docker.io/library/redis:7';
  const retry = pull('b', { imageRef, pods, attempt: 2 });
  const [found] = failures([failed('a', { pods, attempt: 1 }), retry]);
  expect(found?.retrying).toEqual([retry]);
  expect(found?.tries).toBe(2);
  // The first try of another pod is none of it.
  expect(failures([failed('a', { pods }), pull('b', { imageRef, attempt: 1 })])[0]?.retrying).toEqual([]);
});

test('the next try is the soonest that is to come, or the last that was due', () => {
  const again = (seconds: number) => ({ reason: 'dns', nextRetryAt: at(seconds) }) as const;
  const pulls = [failed('a', { failure: again(20) }), failed('b', { failure: again(40) }), failed('c')];
  const next = (now: number) => nextRetry({ pulls }, Date.parse(at(now)));
  expect(next(10)).toBe(Date.parse(at(20)));
  expect(next(30)).toBe(Date.parse(at(40)));
  expect(next(50)).toBe(Date.parse(at(40)));
  expect(nextRetry({ pulls: [failed('c')] }, 0)).toBeUndefined();
});

test('a failure of which nobody says why or when is one all the same', () => {
  const { failure: _, ...silent } = failed('a', { completedAt: 'soon', startedAt: 'never' });
  expect(failures([silent])).toMatchObject([
    { reason: 'unexplained', firstAt: undefined, lastAt: undefined },
  ]);
});

test('all who ask of one beat are told the same', () => {
  const all = { rows: new Map([['a', failed('a')]]) };
  expect(failing(all)).toBe(failing(all));
  expect(failing({ ...all })).not.toBe(failing(all));
});

test('what failed stays a failure while it is tried again, under whichever id, until it is brought', () => {
  const rows = new Map<string, PullStatus>();
  const beat = () => failing({ rows });
  const set = (...pulls: PullStatus[]) => {
    rows.clear();
    for (const each of pulls) rows.set(each.id, each);
  };
  const imageRef = 'docker.io/library/redis:7';
  const other = failed('other', { nodeName: 'n2' });
  set(failed('a', { attempt: 1 }), other);
  expect(beat()[0]).toMatchObject({ nodes: 2, retrying: [] });
  const queued = pull('b', { imageRef, phase: 'queued', attempt: 2, supersedes: 'a' });
  set(queued, other);
  expect(beat()[0]).toMatchObject({ nodes: 2, tries: 3, retrying: [queued] });
  expect(
    beat()[0]
      ?.pulls.map(({ id }) => id)
      .sort(),
  ).toEqual(['a', 'other']);
  const seen = pull('c', { imageRef, attempt: 2, supersedes: 'b' });
  set(seen, other);
  expect(beat()[0]).toMatchObject({ nodes: 2, retrying: [seen] });
  set(ended('c', { imageRef, completedAt: at(60), supersedes: 'b' }), other);
  expect(beat()[0]?.pulls).toEqual([other]);
  set(ended('c', { imageRef, completedAt: at(60), supersedes: 'b' }));
  expect(beat()).toEqual([]);
});
