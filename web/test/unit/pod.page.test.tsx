import { screen, within } from '@testing-library/react';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { RequestError } from '../../src/api/events';
import { FAILURE_TITLES } from '../../src/api/gen/failures';
import type { ClusterStatus, PodImage, PodStatus, PullStatus } from '../../src/api/gen/wire';
import { parsePod, podState, podsUnavailable } from '../../src/model/pod';
import { at, ended, pull } from './fixtures';
import { type TestPage, testPage } from './testPage';

const PATH = 'api/v1/namespaces/shop/pods/web-0/pulls';

let page: TestPage;
beforeEach(() => {
  page = testPage();
});
afterEach(() => page.close());

const image = (container: string, more: Partial<PodImage> = {}): PodImage => ({
  container,
  kind: 'container',
  image: `registry.example/team/${container}:1.0`,
  state: 'pending',
  ...more,
});
const pod = (more: Partial<PodStatus> = {}): PodStatus => ({
  namespace: 'shop',
  podName: 'web-0',
  uid: 'uid-1',
  nodeName: 'n1',
  ready: false,
  moving: true,
  summary: 'waits for 2 images',
  images: [],
  ...more,
});
const answer = (status: PodStatus, pulls: PullStatus[] = []) => {
  page.answers[PATH] = { pod: status, pulls };
};
/** Makes requests fail. */
const refuse = (refused: RequestError) => {
  const refusing = Promise.reject(refused);
  refusing.catch(() => {});
  page.answers[PATH] = refusing;
};

async function show(rows: PullStatus[] = []): Promise<void> {
  window.location.hash = '#/pods/shop/web-0';
  await import('../../src/pages/lazyPages');
  await page.show();
  page.pushFrame(1, { rows });
  await page.advance(100);
}
const main = () => document.querySelector<HTMLElement>('main') as HTMLElement;
const field = (name: string) => main().querySelector(`[data-field="${name}"]`)?.textContent;
const message = (name: string) => document.querySelector(`[data-message="${name}"]`);
const state = () => document.querySelector<HTMLElement>('[data-pod]')?.dataset.state;
const images = () => [...document.querySelectorAll<HTMLElement>('[data-image]')];

test('page lists images with their live pulls', async () => {
  const failure = { reason: 'not_found', hint: 'look at the name', nextRetryAt: at(31) } as const;
  answer(
    pod({
      etaSeconds: 42,
      etaLowSeconds: 30,
      images: [
        image('data', { kind: 'volume', state: 'present' }),
        image('setup', {
          kind: 'init',
          state: 'pulling',
          pull: 'a',
          attempt: 2,
          waitingReason: 'PodInitializing',
        }),
        image('app', { state: 'failed', pull: 'b', failure, waitingReason: 'ImagePullBackOff', attempt: 4 }),
        image('log', { kind: 'sidecar' }),
      ],
    }),
    [pull('a', { percent: 10 })],
  );
  await show([pull('a', { percent: 30, downloadedBytes: 400, bytesPerSec: 2048, etaSeconds: 7 })]);
  expect(field('summary')).toBe('waits for 2 images');
  expect(field('eta')).toBe('~40 s');
  expect(main().textContent).toContain(' 30 s');
  expect(field('present')).toMatch(/^1 \D+4$/);
  expect(images().map(({ dataset }) => [dataset.image, dataset.kind, dataset.state])).toEqual([
    ['data', 'volume', 'present'],
    ['setup', 'init', 'pulling'],
    ['app', 'container', 'failed'],
    ['log', 'sidecar', 'pending'],
  ]);
  const [, setup, app] = images().map((each) => each.textContent ?? '');
  expect(setup).toMatch(/30 %400 B\D+0\.98 KiB\D+2\.00 KiB\/s\D+PodInitializing\D+2nd\D+~7 s/);
  expect(app).toMatch(/ImagePullBackOff\D+4th/);
  expect(app).toContain(FAILURE_TITLES.not_found);
  expect(images()[2]?.querySelector('[data-field="retry"]')?.textContent).toMatch(/ 30 s$/);
  expect(app).toContain('look at the name');
  expect(
    within(images()[1] as HTMLElement)
      .getByRole('link')
      .getAttribute('href'),
  ).toBe('#/pulls/a');
  expect(main().textContent).toContain('kubectl describe pod/web-0 --namespace=shop');
  page.pushFrame(2, { rows: [pull('a', { percent: 55, etaSeconds: 3 })] });
  expect(images()[1]?.textContent).toContain('55 %');
});

test('partial ETA is shown as a lower bound', async () => {
  answer(pod({ etaLowSeconds: 12, images: [image('app')] }));
  await show();
  expect(field('eta')).toContain('12 s');
});

test('ready pod stays visible after it is removed', async () => {
  answer(
    pod({
      ready: true,
      summary: 'its image is present',
      images: [image('app', { state: 'present', pull: 'a' })],
    }),
  );
  await show([ended('a')]);
  expect(state()).toBe('ready');
  expect(field('eta')).not.toMatch(/\d/);
  expect(images()[0]?.textContent).toContain(' 5.0 s');
  delete page.answers[PATH];
  await page.advance(1_100);
  expect(message('gone')).toBeTruthy();
  expect(images()).toHaveLength(1);
});

test('recreated pod links to the previous pulls', async () => {
  answer(pod({ images: [image('app', { pull: 'a' })] }), [pull('a')]);
  await show();
  answer(pod({ uid: 'uid-2', nodeName: 'n2', images: [image('app')] }));
  await page.advance(1_100);
  const before = message('made-again') as HTMLElement;
  expect(before.textContent).toMatch(/\buid-1\b.*\bn1\b/);
  expect(within(before).getByRole('link', { name: 'registry.example/team/a:1.0' }).getAttribute('href')).toBe(
    '#/pulls/a',
  );
  expect(screen.getByText('uid-2')).toBeTruthy();
});

test('unknown or forbidden pod shows a message', async () => {
  await show();
  expect(message('no-pod')?.textContent).toContain('shop/web-0');
  expect(main().textContent).toContain('kubectl describe pod/web-0 --namespace=shop');
  refuse(new RequestError({ kind: 'forbidden', detail: 'not in your namespace' }));
  await page.advance(1_100);
  expect(message('forbidden')?.textContent).toContain('not in your namespace');
});

test('missing pod source is explained', async () => {
  page.answers['api/v1/server'] = {
    cluster: { pods: 'forbidden', events: 'off', podsReason: 'pods is forbidden' },
  };
  refuse(new RequestError({ kind: 'unavailable', status: 503, detail: 'pods are not heard' }));
  await show();
  expect(message('no-pods')?.textContent).toContain('pods is forbidden');
});

test('last answer stays when the server fails', async () => {
  answer(pod({ images: [image('app')] }));
  await show();
  refuse(new RequestError({ kind: 'unavailable', status: 503, detail: 'Pods are listed again.' }));
  await page.advance(1_100);
  expect(message('not-answered')?.textContent).toContain('Pods are listed again');
  expect(images()).toHaveLength(1);
});

describe('pod answer', () => {
  test.each([[undefined], [null], ['text'], [{}], [{ pod: {} }], [{ pod: { ...pod(), images: 'none' } }]])(
    '%j is rejected',
    (value) => expect(parsePod(value)).toBeUndefined(),
  );
  test('keeps its valid parts', () => {
    const found = parsePod({
      pod: { ...pod(), images: [image('app'), { image: 3 }, null] },
      pulls: [pull('a'), {}, 7],
    });
    expect(found?.pod.images).toHaveLength(1);
    expect(found?.pulls).toHaveLength(1);
    expect(parsePod({ pod: pod() })?.pulls).toEqual([]);
  });
});

test('pod state reflects its images', () => {
  expect(podState(pod({ ready: true }))).toBe('ready');
  expect(podState(pod())).toBe('moving');
  expect(podState(pod({ moving: false }))).toBe('still');
  expect(podState(pod({ images: [image('a', { state: 'failed' })] }))).toBe('failing');
  const cluster = (pods: string): ClusterStatus => ({ pods: pods as 'off', events: 'live' });
  expect(podsUnavailable(cluster('live'))).toBeUndefined();
  expect(podsUnavailable(undefined)).toBeUndefined();
  expect(podsUnavailable(cluster('off'))).toBeDefined();
  expect(podsUnavailable(cluster('on_fire'))).toContain('on fire');
});
