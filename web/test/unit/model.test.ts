import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { FailureReason, Phase, PodLink, PullStatus } from '../../src/api/gen/wire';
import { bytes, duration, left, percent, range, seconds, speed } from '../../src/model/format';
import { imageName, parts, shortName } from '../../src/model/image';
import { perhaps, podNames, podText } from '../../src/model/pods';
import {
  attempt,
  isLive,
  kubelet,
  notes,
  noteText,
  pullState,
  reason,
  retry,
  shares,
  size,
  took,
  waiting,
} from '../../src/model/pull';
import { totals } from '../../src/model/totals';
import { at, ended, layer, node, pull } from './some';

test('sizes read like a person wrote them', () => {
  const texts = [0, 999, 1000, 48_250_371, 5 * 1024 ** 3, 2 ** 64].map((value) => bytes(value));
  expect(texts).toEqual(['0 B', '999 B', '0.98 KiB', '46.0 MiB', '5.00 GiB', '16.0 EiB']);
  expect(speed(12 * 1024 * 1024)).toBe('12.0 MiB/s');
});

test('what is unknown is a dash, and never a zero', () => {
  for (const write of [bytes, speed, percent, seconds, duration, left]) {
    for (const value of [undefined, null, Number.NaN, Number.POSITIVE_INFINITY, -1]) {
      expect(write(value)).toBe('–');
    }
  }
});

test('a hundred percent is never rounded up to', () => {
  expect([0, 61.9, 99.99, 100, 120].map(percent)).toEqual(['0 %', '61 %', '99 %', '100 %', '100 %']);
});

test('times read as a person would say them', () => {
  const of = (write: (value: number) => string) => [0.04, 0.45, 12.34, 65, 3_905, 90_000].map(write);
  expect(of(seconds)).toEqual(['< 1 s', '< 1 s', '12 s', '1 m 05 s', '1 h 05 m', '1 d 1 h']);
  expect(of(duration)).toEqual(['0.0 s', '0.4 s', '12.3 s', '1 m 05 s', '1 h 05 m', '1 d 1 h']);
  expect([0.3, 1.4, 19, 43, 128, 3_905].map(left)).toEqual([
    '< 1 s',
    '~1 s',
    '~19 s',
    '~45 s',
    '~2 m 10 s',
    '~1 h 05 m',
  ]);
});

test('a range is said where the guess alone would mislead', () => {
  expect(range(44.6, 30, 90)).toBe('30 s to 1 m 30 s');
  expect(range(10, 9, 11)).toBeUndefined();
  expect(range(10, undefined, 20)).toBeUndefined();
});

test.each([
  ['docker.io/library/nginx:latest', 'docker.io/library', 'nginx', 'latest'],
  ['registry.example:5000/app', 'registry.example:5000', 'app', ''],
  ['localhost:5000/a/b/c:v1.2', 'localhost:5000/a/b', 'c', 'v1.2'],
  ['quay.io/x/y@sha256:0123456789abcdef', 'quay.io/x', 'y', '0123456789ab'],
  ['quay.io/x/y:1@sha256:0123456789abcdef', 'quay.io/x', 'y', '1'],
  ['nginx', '', 'nginx', ''],
])('%s is told in its parts', (reference, registry, name, version) => {
  expect(parts(reference)).toEqual({ registry, name, version });
});

test('a pull without a name says so', () => {
  expect(imageName({})).toMatchObject({ name: 'Image not known yet', known: false });
  expect(shortName({ rootDigest: 'sha256:0123456789abcdef' })).toBe('image 0123456789ab');
  expect(shortName({ repository: 'quay.io/x/y', rootDigest: 'sha256:0123456789abcdef' })).toBe(
    'y:0123456789ab',
  );
});

test('the word for a pull says if it is in trouble', () => {
  const on = { kind: 'registry', since: at(1) } as const;
  expect(pullState(pull('a'))).toBe('downloading');
  expect(pullState(pull('a', { waitingOn: { ...on, kind: 'download_slot' } }))).toBe('waiting');
  expect(pullState(pull('a', { phase: 'resolving', waitingOn: on }))).toBe('resolving');
  expect(pullState(pull('a', { stalledSince: at(1), waitingOn: on }))).toBe('stalled');
  expect(pullState(pull('a', { staleSince: at(1), stalledSince: at(1) }))).toBe('unseen');
  expect(pullState(ended('a', { staleSince: at(1) }))).toBe('completed');
  expect(pullState(ended('a', { phase: 'unknown', outcome: 'unknown' }))).toBe('unknown');
});

test('a phase of a newer server is another one, and goes on', () => {
  const hashed = pull('a', { phase: 'being_hashed' as Phase });
  expect(pullState(hashed)).toBe('other');
  expect(isLive(hashed)).toBe(true);
});

test('what waits in the queue of a kubelet is queued, and its row says behind what', () => {
  const on = { kind: 'kubelet_queue', since: at(1), pull: 'b', ahead: 2 } as const;
  const queued = pull('a', { phase: 'queued', waitingOn: on });
  expect(pullState(queued)).toBe('queued');
  expect(isLive(queued)).toBe(true);
  expect(notes(queued)).toEqual([]);
  expect(waiting(on)).toBe('queued by the kubelet');
  expect(waiting(on, 'web:1')).toBe('queued behind web:1');
});

test('a try is counted from the second on', () => {
  const of = (n?: number) => attempt({ attempt: n });
  expect([undefined, 0, 1, 2, 3, 4, 11, 12, 21, 102, 111].map(of)).toEqual([
    ...[undefined, undefined, undefined, '2nd try', '3rd try', '4th try', '11th try', '12th try', '21st try'],
    ...['102nd try', '111th try'],
  ]);
});

test('the next try counts down, and says nothing when it is long overdue', () => {
  const texts = [0, 11, 12, 20, 90].map((second) => retry(Date.parse(at(12)), Date.parse(at(second))));
  expect(texts).toEqual(['again in 12 s', 'again in 1 s', 'again any moment', 'again any moment', '']);
});

test('the kubelet says how long it took, with its queue where it says so', () => {
  expect(kubelet({ pullSeconds: 5.21, withWaitingSeconds: 7.19 })).toBe('5.2 s, 7.1 s with waiting');
  expect(kubelet({ pullSeconds: 90 })).toBe('1 m 30 s');
  expect(kubelet({ pullSeconds: 'soon' as never })).toBe('–');
});

const link = (podName: string, container: string, more: Partial<PodLink> = {}): PodLink => ({
  namespace: 'shop',
  podName,
  uid: podName,
  container,
  image: 'web',
  ...more,
});

test('a pod is named once, with all its containers that want the image', () => {
  const pods = podNames([
    link('web-1', 'app', { evidence: 'digest' }),
    link('web-2', 'app', { evidence: 'by_the_stars' as never }),
    link('web-1', 'migrate', { evidence: 'digest' }),
    link('web-3', ''),
  ]);
  expect(pods.map(podText)).toEqual(['shop/web-1 · app, migrate', 'shop/web-2 · app', 'shop/web-3']);
  expect(pods.map((each) => each.evidence)).toEqual([
    'the pod names the image by the digest that is pulled',
    'by the stars',
    undefined,
  ]);
  // A pod that was made anew under its name is another one.
  expect(podNames([link('web-1', 'app'), link('web-1', 'app', { uid: 'new' })])).toHaveLength(2);
  expect(podNames(undefined)).toEqual([]);
});

test('who perhaps waits is said as a guess', () => {
  const of = (...names: string[]) => perhaps(podNames(names.map((name) => link(name, 'app'))));
  expect(of('a')).toBe('perhaps shop/a');
  expect(of('a', 'b')).toBe('perhaps shop/a or shop/b');
  expect(of('a', 'b', 'c', 'd', 'e')).toBe('perhaps shop/a, shop/b, shop/c or 2 more');
});

test('what was on the node counts in neither stage', () => {
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

test('a pull says what it waits for, and since when', () => {
  const row = pull('a', {
    stalledSince: at(10),
    slow: true,
    waitingOn: { kind: 'shared_layer', since: at(20), pull: 'b', layer: 'sha256:0123456789abcdef' },
  });
  const texts = notes(row, 'web:1.2').map((note) => noteText(note, Date.parse(at(30))));
  expect(texts).toEqual([
    'no byte has come for 20 s',
    'far slower than usual from this registry',
    'waiting for layer 0123456789ab of web:1.2 (10 s)',
  ]);
  expect(notes(ended('a', { stalledSince: at(1) }))).toEqual([]);
  expect(notes({ ...row, staleSince: at(1) }).map((note) => note.kind)).toEqual(['unseen']);
});

test('a note without a time leaves it out', () => {
  const texts = (row: PullStatus) => notes(row).map((note) => noteText(note, 0));
  expect(texts(pull('a', { staleSince: 'nonsense' }))).toEqual(['not seen']);
  expect(texts(pull('a', { waitingOn: { kind: 'registry', since: '' } }))).toEqual([
    'waiting for the registry',
  ]);
});

test('a failure says why', () => {
  expect(reason(ended('a', { failure: { reason: 'unexplained' } }))).toBe('the runtime does not say why');
  expect(reason(ended('a', { failure: { reason: 'new_word' as never, message: 'x <b>y</b>' } }))).toBe(
    'new word: x <b>y</b>',
  );
  expect(reason(ended('a'))).toBeUndefined();
});

test('each reason that the server has is said in words of its own', () => {
  const wire = readFileSync(join(import.meta.dirname, '../../src/api/gen/wire.ts'), 'utf8');
  const words = /type FailureReason = ([^;]+);/.exec(wire)?.[1]?.match(/\w+/g) as FailureReason[];
  expect(words.length).toBeGreaterThan(20);
  const texts = words.map((word) => reason(ended('a', { failure: { reason: word } })));
  expect(new Set(texts).size).toBe(words.length);
  for (const [index, word] of words.entries()) expect(texts[index]).not.toBe(word.replaceAll('_', ' '));
});

test('an ended pull says how long it took and what it was', () => {
  expect(took(ended('a'))).toBe(5);
  expect(took(ended('a', { completedAt: at(0) }))).toBeUndefined();
  expect(size(ended('a', { layerCount: 7, cachedBytes: 200 }))).toBe(
    '0.98 KiB in 7 layers, 200 B of them cached',
  );
  expect(size(ended('a', { layerCount: 1, cachedBytes: 1000, toDownloadBytes: 0 }))).toBe(
    '0.98 KiB in 1 layer, all cached',
  );
  expect(size(ended('a', { totalBytes: undefined }))).toBeUndefined();
});

test('sums leave out what is not known', () => {
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
  expect(totals(rows, nodes)).toEqual({
    nodes: 3,
    lost: 1,
    pulling: 1,
    live: 5,
    queued: 1,
    unseen: 1,
    pods: 1,
    podsSince: Date.parse(at(0)),
    waiting: 0,
    stalled: 1,
    slow: 1,
    failed: 1,
    completed: 0,
    toGo: 70,
    speed: 5,
    lastReady: 9,
    lastPull: 'c',
    withoutEta: 2,
  });
  expect(totals([], [])).toMatchObject({ speed: undefined, lastReady: undefined, toGo: undefined });
});
