import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { FAILURE_TITLES } from '../../src/api/gen/failures';
import type { FailureReason, Phase, PodLink, PullStatus } from '../../src/api/gen/wire';
import { bytes, duration, etaRange, percent, seconds, speed, timeLeft } from '../../src/model/format';
import { imageName, parseReference, shortName } from '../../src/model/image';
import { candidatesText, podLabel, waitingPods } from '../../src/model/pods';
import {
  attemptText,
  failureText,
  isLive,
  kubeletDuration,
  noteText,
  pullDuration,
  pullNotes,
  pullState,
  retryText,
  shares,
  sizeText,
  waitingText,
} from '../../src/model/pull';
import { computeTotals } from '../../src/model/totals';
import { at, ended, layer, node, pull } from './fixtures';

test('sizes are formatted with three digits', () => {
  const texts = [0, 999, 1000, 48_250_371, 5 * 1024 ** 3, 2 ** 64].map((value) => bytes(value));
  expect(texts).toEqual(['0 B', '999 B', '0.98 KiB', '46.0 MiB', '5.00 GiB', '16.0 EiB']);
  expect(speed(12 * 1024 * 1024)).toBe('12.0 MiB/s');
});

test('unknown values are a dash', () => {
  for (const write of [bytes, speed, percent, seconds, duration, timeLeft]) {
    for (const value of [undefined, null, Number.NaN, Number.POSITIVE_INFINITY, -1]) {
      expect(write(value)).toBe('–');
    }
  }
});

test('percent is rounded down', () => {
  expect([0, 61.9, 99.99, 100, 120].map(percent)).toEqual(['0 %', '61 %', '99 %', '100 %', '100 %']);
});

test('durations are formatted by magnitude', () => {
  const of = (write: (value: number) => string) => [0.04, 0.45, 12.34, 65, 3_905, 90_000].map(write);
  expect(of(seconds)).toEqual(['< 1 s', '< 1 s', '12 s', '1 m 05 s', '1 h 05 m', '1 d 1 h']);
  expect(of(duration)).toEqual(['0.0 s', '0.4 s', '12.3 s', '1 m 05 s', '1 h 05 m', '1 d 1 h']);
  expect([0.3, 1.4, 19, 43, 128, 3_905].map(timeLeft)).toEqual([
    '< 1 s',
    '~1 s',
    '~19 s',
    '~45 s',
    '~2 m 10 s',
    '~1 h 05 m',
  ]);
});

test('range is shown only when wide', () => {
  expect(etaRange(44.6, 30, 90)).toBe('30 s to 1 m 30 s');
  expect(etaRange(10, 9, 11)).toBeUndefined();
  expect(etaRange(10, undefined, 20)).toBeUndefined();
});

test.each([
  ['docker.io/library/nginx:latest', 'docker.io/library', 'nginx', 'latest'],
  ['registry.example:5000/app', 'registry.example:5000', 'app', ''],
  ['localhost:5000/a/b/c:v1.2', 'localhost:5000/a/b', 'c', 'v1.2'],
  ['quay.io/x/y@sha256:0123456789abcdef', 'quay.io/x', 'y', '0123456789ab'],
  ['quay.io/x/y:1@sha256:0123456789abcdef', 'quay.io/x', 'y', '1'],
  ['nginx', '', 'nginx', ''],
])('reference %s is split into parts', (reference, registry, name, version) => {
  expect(parseReference(reference)).toEqual({ registry, name, version });
});

test('unnamed image has a placeholder name', () => {
  expect(imageName({}).known).toBe(false);
  expect(shortName({ rootDigest: 'sha256:0123456789abcdef' })).toMatch(/ 0123456789ab$/);
  expect(shortName({ repository: 'quay.io/x/y', rootDigest: 'sha256:0123456789abcdef' })).toBe(
    'y:0123456789ab',
  );
});

test('pull state reports problems first', () => {
  const on = { kind: 'registry', since: at(1) } as const;
  expect(pullState(pull('a'))).toBe('downloading');
  expect(pullState(pull('a', { waitingOn: { ...on, kind: 'download_slot' } }))).toBe('waiting');
  expect(pullState(pull('a', { phase: 'resolving', waitingOn: on }))).toBe('resolving');
  expect(pullState(pull('a', { stalledSince: at(1), waitingOn: on }))).toBe('stalled');
  expect(pullState(pull('a', { staleSince: at(1), stalledSince: at(1) }))).toBe('unseen');
  expect(pullState(ended('a', { staleSince: at(1) }))).toBe('completed');
  expect(pullState(ended('a', { phase: 'unknown', outcome: 'unknown' }))).toBe('unknown');
});

test('unknown phase is other and live', () => {
  const hashed = pull('a', { phase: 'being_hashed' as Phase });
  expect(pullState(hashed)).toBe('other');
  expect(isLive(hashed)).toBe(true);
});

test('queued pull names the pull ahead', () => {
  const on = { kind: 'kubelet_queue', since: at(1), pull: 'b', ahead: 2 } as const;
  const queued = pull('a', { phase: 'queued', waitingOn: on });
  expect(pullState(queued)).toBe('queued');
  expect(isLive(queued)).toBe(true);
  expect(pullNotes(queued)).toEqual([]);
  expect(waitingText(on, 'web:1')).toMatch(/ web:1$/);
});

test('attempt is shown from the second on', () => {
  const of = (n?: number) => attemptText({ attempt: n });
  expect([undefined, 0, 1].map(of)).toEqual([undefined, undefined, undefined]);
  const numbers = [2, 3, 4, 11, 12, 21, 102, 111].map((n) => of(n)?.split(' ')[0]);
  expect(numbers).toEqual(['2nd', '3rd', '4th', '11th', '12th', '21st', '102nd', '111th']);
});

test('retry counts down and disappears when overdue', () => {
  const text = (second: number) => retryText(Date.parse(at(12)), Date.parse(at(second)));
  expect([0, 11].map((second) => /\d+ s/.exec(text(second))?.[0])).toEqual(['12 s', '1 s']);
  expect(text(12)).toMatch(/^\D+$/);
  expect(text(20)).toBe(text(12));
  expect(text(90)).toBe('');
});

test('kubelet duration includes queueing when known', () => {
  expect(kubeletDuration({ pullSeconds: 5.21, withWaitingSeconds: 7.19 })).toMatch(/^5\.2 s \(7\.1 s/);
  expect(kubeletDuration({ pullSeconds: 90 })).toBe('1 m 30 s');
  expect(kubeletDuration({ pullSeconds: 'soon' as never })).toBe('–');
});

const link = (podName: string, container: string, more: Partial<PodLink> = {}): PodLink => ({
  namespace: 'shop',
  podName,
  uid: podName,
  container,
  image: 'web',
  ...more,
});

test('pod is listed once with its containers', () => {
  const pods = waitingPods([
    link('web-1', 'app', { evidence: 'digest' }),
    link('web-2', 'app', { evidence: 'by_the_stars' as never }),
    link('web-1', 'migrate', { evidence: 'digest' }),
    link('web-3', ''),
  ]);
  expect(pods.map(podLabel)).toEqual(['shop/web-1 · app, migrate', 'shop/web-2 · app', 'shop/web-3']);
  expect(pods.map((each) => each.evidence)).toEqual(['digest', 'by_the_stars', undefined]);
  // A recreated pod of the same name is a different pod.
  expect(waitingPods([link('web-1', 'app'), link('web-1', 'app', { uid: 'new' })])).toHaveLength(2);
  expect(waitingPods(undefined)).toEqual([]);
});

test('candidate pods are worded as a guess', () => {
  const of = (...names: string[]) => candidatesText(waitingPods(names.map((name) => link(name, 'app'))));
  expect(of('a')).toMatch(/^\w+ shop\/a$/);
  expect(of('a', 'b')).toMatch(/^\w+ shop\/a \w+ shop\/b$/);
  expect(of('a', 'b', 'c', 'd', 'e')).toMatch(/^\w+ shop\/a, shop\/b, shop\/c \w+ 2\b/);
});

test('cached layers count in neither stage', () => {
  const layers = [
    layer('a', { state: 'cached', totalBytes: 3000 }),
    layer('b', { state: 'extracting', totalBytes: 1000, blobCached: true }),
    layer('c', { totalBytes: 1000 }),
  ];
  const row = pull('a', { toDownloadBytes: 1000, downloadedBytes: 250, extractedBytes: 1000, layers });
  expect(shares(row)).toEqual({ downloaded: 0.25, extracted: 0.5 });
  expect(shares(pull('a', { toDownloadBytes: undefined, totalKnown: false }))).toEqual({
    downloaded: undefined,
    extracted: undefined,
  });
});

test('notes report the wait and its age', () => {
  const row = pull('a', {
    stalledSince: at(10),
    slow: true,
    waitingOn: { kind: 'shared_layer', since: at(20), pull: 'b', layer: 'sha256:0123456789abcdef' },
  });
  const notes = pullNotes(row, 'web:1.2');
  expect(notes.map(({ kind }) => kind)).toEqual(['stalled', 'slow', 'waiting']);
  const [stalled, slow, waiting] = notes.map((note) => noteText(note, Date.parse(at(30))));
  expect(stalled).toMatch(/ 20 s$/);
  expect(slow).not.toMatch(/\d/);
  expect(waiting).toMatch(/ 0123456789ab .*\bweb:1\.2 \(10 s\)$/);
  expect(pullNotes(ended('a', { stalledSince: at(1) }))).toEqual([]);
  expect(pullNotes({ ...row, staleSince: at(1) }).map((note) => note.kind)).toEqual(['unseen']);
});

test('note omits an unknown time', () => {
  const texts = (row: PullStatus) => pullNotes(row).map((note) => noteText(note, 0));
  for (const row of [
    pull('a', { staleSince: 'nonsense' }),
    pull('a', { waitingOn: { kind: 'registry', since: '' } }),
  ]) {
    expect(texts(row)).toEqual([expect.stringMatching(/^[a-z ]+[a-z]$/)]);
  }
});

test('failure text has title and message', () => {
  expect(failureText(ended('a', { failure: { reason: 'unexplained' } }))).toBe(FAILURE_TITLES.unexplained);
  expect(failureText(ended('a', { failure: { reason: 'new_word' as never, message: 'x <b>y</b>' } }))).toBe(
    'new word: x <b>y</b>',
  );
  expect(failureText(ended('a'))).toBeUndefined();
});

test('each failure reason has its own title', () => {
  const wire = readFileSync(join(import.meta.dirname, '../../src/api/gen/wire.ts'), 'utf8');
  const words = /type FailureReason = ([^;]+);/.exec(wire)?.[1]?.match(/\w+/g) as FailureReason[];
  expect(words.length).toBeGreaterThan(20);
  const texts = words.map((word) => failureText(ended('a', { failure: { reason: word } })));
  expect(new Set(texts).size).toBe(words.length);
  for (const [index, word] of words.entries()) expect(texts[index]).not.toBe(word.replaceAll('_', ' '));
});

test('ended pull shows duration and size', () => {
  expect(pullDuration(ended('a'))).toBe(5);
  expect(pullDuration(ended('a', { completedAt: at(0) }))).toBeUndefined();
  expect(sizeText(ended('a', { layerCount: 7, cachedBytes: 200 }))).toMatch(/^0\.98 KiB \D+7 \D+200 B \D+$/);
  expect(sizeText(ended('a', { layerCount: 1, cachedBytes: 1000, toDownloadBytes: 0 }))).toMatch(
    /^0\.98 KiB \D+1 \D+$/,
  );
  expect(sizeText(ended('a', { totalBytes: undefined }))).toBeUndefined();
});

test('totals leave out unknown values', () => {
  const nodes = [
    node('a', { live: 2, toDownloadBytes: 100, downloadedBytes: 40, bytesPerSec: 5 }),
    node('b', { live: 1, toDownloadBytes: 100, downloadedBytes: 90 }),
    node('c', { state: 'lost', live: 1, toDownloadBytes: 100, bytesPerSec: 9 }),
  ];
  const rows = [
    pull('a', { etaSeconds: 4 }),
    pull('b', { stalledSince: at(1) }),
    pull('c', { etaSeconds: 9, slow: true }),
    pull('queued', { nodeName: 'b', phase: 'queued', pods: [link('web', 'app'), link('web', 'b')] }),
    pull('lost', { nodeName: 'c', etaSeconds: 99, slow: true, staleSince: at(1) }),
    ended('d', { phase: 'failed', outcome: 'failed' }),
  ];
  expect(computeTotals(rows, nodes)).toEqual({
    nodes: 3,
    lost: 1,
    pulling: 1,
    live: 5,
    queued: 1,
    stale: 1,
    pods: 1,
    podsWaitingSince: Date.parse(at(0)),
    waiting: 0,
    stalled: 1,
    slow: 1,
    failed: 1,
    completed: 0,
    remainingBytes: 70,
    speed: 5,
    longestEta: 9,
    longestEtaPull: 'c',
    withoutEta: 2,
  });
  expect(computeTotals([], [])).toMatchObject({
    speed: undefined,
    longestEta: undefined,
    remainingBytes: undefined,
  });
});
