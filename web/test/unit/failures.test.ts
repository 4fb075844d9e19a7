import { expect, test } from 'vitest';
import type { PodLink, PullStatus } from '../../src/api/gen/wire';
import { currentFailures, groupFailures, nextRetry } from '../../src/model/failures';
import { at, ended, pull } from './fixtures';

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

test('same failure on many nodes is one entry', () => {
  const found = groupFailures([
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
    attempts: 2,
    firstAt: Date.parse(at(5)),
    lastAt: Date.parse(at(9)),
  });
});

test('failure disappears when a later pull completes', () => {
  const image = { imageRef: 'docker.io/library/redis:7' };
  const one = failed('a', { completedAt: at(10) });
  const ids = (...others: PullStatus[]) =>
    groupFailures([one, ...others]).flatMap(({ pulls }) => pulls.map(({ id }) => id));
  expect(ids(ended('b', { ...image, completedAt: at(20) }))).toEqual([]);
  expect(ids(ended('b', { ...image, completedAt: at(9) }))).toEqual(['a']);
  expect(ids(ended('b', { ...image, completedAt: at(20), nodeName: 'n2' }))).toEqual(['a']);
  expect(ids(ended('b', { completedAt: at(20) }))).toEqual(['a']);
  // Unknown names never match.
  const { imageRef: _, ...nameless } = failed('a', { completedAt: at(10) });
  const { imageRef: __, ...brought } = ended('b', { completedAt: at(20) });
  expect(groupFailures([nameless, brought])).toHaveLength(1);
});

test('attempts are counted once per pod', () => {
  const pods = [pod('a')];
  const tries = (...rows: PullStatus[]) => groupFailures(rows)[0]?.attempts;
  expect(tries(failed('a', { pods, attempt: 3 }))).toBe(3);
  expect(tries(failed('a', { pods, attempt: 1 }), failed('b', { pods, attempt: 2 }))).toBe(2);
  expect(tries(failed('a', { pods, attempt: 2 }), failed('b', { pods: [pod('b')], attempt: 4 }))).toBe(6);
  // Without pods there are no attempt numbers.
  expect(tries(failed('a'), failed('b'))).toBe(2);
});

test('failure stays listed while it is retried', () => {
  const pods = [pod('a')];
  const imageRef = 'docker.io/library/redis:7';
  const retry = pull('b', { imageRef, pods, attempt: 2 });
  const [found] = groupFailures([failed('a', { pods, attempt: 1 }), retry]);
  expect(found?.retrying).toEqual([retry]);
  expect(found?.attempts).toBe(2);
  // The first attempt of another pod is not a retry.
  expect(groupFailures([failed('a', { pods }), pull('b', { imageRef, attempt: 1 })])[0]?.retrying).toEqual(
    [],
  );
});

test('next retry is the soonest future one', () => {
  const again = (seconds: number) => ({ reason: 'dns', nextRetryAt: at(seconds) }) as const;
  const pulls = [failed('a', { failure: again(20) }), failed('b', { failure: again(40) }), failed('c')];
  const next = (now: number) => nextRetry({ pulls }, Date.parse(at(now)));
  expect(next(10)).toBe(Date.parse(at(20)));
  expect(next(30)).toBe(Date.parse(at(40)));
  expect(next(50)).toBe(Date.parse(at(40)));
  expect(nextRetry({ pulls: [failed('c')] }, 0)).toBeUndefined();
});

test('failure without reason or time is still listed', () => {
  const { failure: _, ...silent } = failed('a', { completedAt: 'soon', startedAt: 'never' });
  expect(groupFailures([silent])).toMatchObject([
    { reason: 'unexplained', firstAt: undefined, lastAt: undefined },
  ]);
});

test('failures are computed once per dataset', () => {
  const all = { rows: new Map([['a', failed('a')]]) };
  expect(currentFailures(all)).toBe(currentFailures(all));
  expect(currentFailures({ ...all })).not.toBe(currentFailures(all));
});

test('failure stays across retries until the image completes', () => {
  const rows = new Map<string, PullStatus>();
  const beat = () => currentFailures({ rows });
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
  expect(beat()[0]).toMatchObject({ nodes: 2, attempts: 3, retrying: [queued] });
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
