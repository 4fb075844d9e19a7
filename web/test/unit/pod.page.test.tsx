import { screen, within } from '@testing-library/react';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Refused } from '../../src/api/events';
import type { ClusterStatus, PodImage, PodStatus, PullStatus } from '../../src/api/gen/wire';
import { podOf, podState, podsAway, slot } from '../../src/model/pod';
import { type TestPage, testPage } from './page';
import { at, ended, pull } from './some';

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
/** A refusal that is no answer. */
const refuse = (refused: Refused) => {
  const refusing = Promise.reject(refused);
  refusing.catch(() => {});
  page.answers[PATH] = refusing;
};

async function show(rows: PullStatus[] = []): Promise<void> {
  window.location.hash = '#/pods/shop/web-0';
  await import('../../src/pages/later');
  await page.show();
  page.say(1, { rows });
  await page.pass(100);
}
const main = () => document.querySelector<HTMLElement>('main') as HTMLElement;
const field = (name: string) => main().querySelector(`[data-field="${name}"]`)?.textContent;
const message = (name: string) => document.querySelector(`[data-message="${name}"]`);
const images = () => [...document.querySelectorAll<HTMLElement>('[data-image]')];

test('a pod shows its images in order, each with its pull as the stream tells it', async () => {
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
  expect(main().textContent).toContain('at least 30 s');
  expect(field('present')).toBe('1 of 4');
  expect(images().map((each) => each.dataset.image)).toEqual(['data', 'setup', 'app', 'log']);
  const [data, setup, app, log] = images().map((each) => each.textContent ?? '');
  expect(data).toContain('was on the node');
  expect(setup).toContain('init container setup');
  expect(setup).toContain('30 %400 B of 0.98 KiB · 2.00 KiB/s · PodInitializing · 2nd try~7 s');
  expect(app).toContain('ImagePullBackOff · 4th try');
  expect(app).toContain('the registry does not have it · again in 30 s');
  expect(app).toContain('look at the name');
  expect(log).toContain('Not asked for yet');
  expect(
    within(images()[1] as HTMLElement)
      .getByRole('link')
      .getAttribute('href'),
  ).toBe('#/pulls/a');
  expect(main().textContent).toContain('kubectl describe pod/web-0 --namespace=shop');
  page.say(2, { rows: [pull('a', { percent: 55, etaSeconds: 3 })] });
  expect(images()[1]?.textContent).toContain('55 %');
});

test('one of which a part cannot be guessed says how long it takes at least', async () => {
  answer(pod({ etaLowSeconds: 12, images: [image('app')] }));
  await show();
  expect(field('eta')).toBe('> 12 s');
});

test('a pod that has all of its images, and is then not known any more', async () => {
  answer(
    pod({
      ready: true,
      summary: 'its image is here',
      images: [image('app', { state: 'present', pull: 'a' })],
    }),
  );
  await show([ended('a')]);
  expect(field('eta')).toBe('now');
  expect(images()[0]?.textContent).toContain('in 5.0 s');
  delete page.answers[PATH];
  await page.pass(1_100);
  expect(message('gone')?.textContent).toBe(
    'It waits for no image any more. This is the last that was seen of it.',
  );
  expect(images()).toHaveLength(1);
});

test('a pod that was made again is another one, and leads to what the one before waited for', async () => {
  answer(pod({ images: [image('app', { pull: 'a' })] }), [pull('a')]);
  await show();
  answer(pod({ uid: 'uid-2', nodeName: 'n2', images: [image('app')] }));
  await page.pass(1_100);
  const before = message('made-again') as HTMLElement;
  expect(before.textContent).toContain('The one before, uid-1, was on n1.');
  expect(within(before).getByRole('link', { name: 'registry.example/team/a:1.0' }).getAttribute('href')).toBe(
    '#/pulls/a',
  );
  expect(screen.getByText('uid-2')).toBeTruthy();
});

test('a pod that is not known, or may not be seen', async () => {
  await show();
  expect(message('no-pod')?.textContent).toContain('No pod shop/web-0 is known to wait');
  expect(main().textContent).toContain('kubectl describe pod/web-0 --namespace=shop');
  refuse(new Refused({ kind: 'forbidden', detail: 'not in your namespace' }));
  await page.pass(1_100);
  expect(message('forbidden')?.textContent).toContain('not in your namespace');
});

test('where pods are not known it says why', async () => {
  page.answers['api/v1/server'] = {
    cluster: { pods: 'forbidden', events: 'off', podsReason: 'pods is forbidden' },
  };
  refuse(new Refused({ kind: 'unavailable', status: 503, detail: 'pods are not heard' }));
  await show();
  expect(message('no-pods')?.textContent).toContain(
    'the server may not see the pods of the cluster: pods is forbidden',
  );
});

test('what was told stays while the server does not answer', async () => {
  answer(pod({ images: [image('app')] }));
  await show();
  refuse(new Refused({ kind: 'unavailable', status: 503, detail: 'Pods are listed again.' }));
  await page.pass(1_100);
  expect(message('not-answered')?.textContent).toBe(
    'The server does not tell how it stands now: Pods are listed again. This is the last that it said.',
  );
  expect(images()).toHaveLength(1);
});

describe('an answer', () => {
  test.each([[undefined], [null], ['text'], [{}], [{ pod: {} }], [{ pod: { ...pod(), images: 'none' } }]])(
    '%j is none',
    (value) => expect(podOf(value)).toBeUndefined(),
  );
  test('is shown as far as it can be', () => {
    const found = podOf({
      pod: { ...pod(), images: [image('app'), { image: 3 }, null] },
      pulls: [pull('a'), {}, 7],
    });
    expect(found?.pod.images).toHaveLength(1);
    expect(found?.pulls).toHaveLength(1);
    expect(podOf({ pod: pod() })?.pulls).toEqual([]);
  });
});

test('how a pod stands', () => {
  expect(podState(pod({ ready: true }))).toBe('ready');
  expect(podState(pod())).toBe('moving');
  expect(podState(pod({ moving: false }))).toBe('still');
  expect(podState(pod({ images: [image('a', { state: 'failed' })] }))).toBe('failing');
  expect(slot(image('a', { kind: 'new_kind' as 'init' }))).toBe('new kind a');
  const cluster = (pods: string): ClusterStatus => ({ pods: pods as 'off', events: 'live' });
  expect(podsAway(cluster('live'))).toBeUndefined();
  expect(podsAway(undefined)).toBeUndefined();
  expect(podsAway(cluster('off'))).toBe('the server was told to look at no pods');
  expect(podsAway(cluster('on_fire'))).toBe("the server's source of pods is on fire");
});
