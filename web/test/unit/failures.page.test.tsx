import { screen, within } from '@testing-library/react';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { FAILURE_TITLES } from '../../src/api/gen/failures';
import type { FailureReason, PullStatus } from '../../src/api/gen/wire';
import { FIELD } from '../names';
import { at, ended, pull } from './fixtures';
import { type TestPage, testPage } from './testPage';

let page: TestPage;
beforeEach(() => {
  page = testPage();
});
afterEach(() => page.close());

const show = async (hash = '#/failures') => {
  window.location.hash = hash;
  await import('../../src/pages/lazyPages');
  await page.show();
};
const message = (name: string) => document.querySelector<HTMLElement>(`[data-message="${name}"]`);
const retry = () => document.querySelector('[data-failure] [data-field="retry"]');
const entries = () => [...document.querySelectorAll<HTMLElement>('[data-failure]')];

const pods = [{ namespace: 'shop', podName: 'cart', uid: 'u', container: 'app', image: 'redis:7' }];
const failed = (id: string, more: Partial<PullStatus> = {}): PullStatus =>
  ended(id, {
    phase: 'failed',
    outcome: 'failed',
    imageRef: 'docker.io/library/redis:7',
    failure: { reason: 'dns', message: 'no such host', hint: 'look at the name' },
    ...more,
  });

test('entry shows reason, image, pods and hint', async () => {
  await show();
  page.pushFrame(1, {
    rows: [
      failed('a', { pods, attempt: 2, completedAt: at(-60) }),
      failed('b', {
        nodeName: 'n2',
        completedAt: at(-5),
        failure: {
          reason: 'dns',
          message: 'server misbehaving',
          hint: 'look at the name',
          nextRetryAt: at(31),
        },
      }),
    ],
  });
  const [entry, ...others] = entries();
  if (!entry) throw new Error('no entry');
  expect(others).toEqual([]);
  expect(within(entry).getByRole('heading').textContent).toBe(FAILURE_TITLES.dns);
  // The image, the numbers of attempts, nodes and pods, the first and the last time.
  expect(entry.textContent).toMatch(/redis7docker.io\/library3 \D+2 \D+1 \D+ 19:59:00 UTC\D+ 6 s/);
  expect(retry()?.textContent).toMatch(/ 30 s$/);
  expect(entry.querySelector('[data-field="hint"]')?.textContent).toBe('Look at the name');
  expect(entry.textContent).toMatch(/dns\b.*docs\/failures\.md/);
  // The last message, then different messages of other nodes.
  const messages = [...entry.querySelectorAll('[data-field="said"]')].map((each) => each.textContent);
  expect(messages).toEqual(['server misbehaving', 'no such host']);
  const link = (name: string) => within(entry).getByRole('link', { name }).getAttribute('href');
  expect(link('shop/cart')).toBe('#/pods/shop/cart');
  expect(link('n2')).toBe('#/pulls/b');
  // The countdown runs.
  await page.advance(4_000);
  expect(retry()?.textContent).toMatch(/ 26 s$/);
});

test('error message is rendered as plain text', async () => {
  await show();
  const message = '<img src=x onerror="alert(1)"> \u001b[31mred\u001b[0m \u202etxet\nsecond line';
  page.pushFrame(1, { rows: [failed('a', { failure: { reason: 'other', message } })] });
  const element = document.querySelector('[data-field="said"]');
  expect(element?.querySelector('*')).toBeNull();
  expect(element?.textContent).toBe(
    '<img src=x onerror="alert(1)"> \\x1b[31mred\\x1b[0m \\u202etxet\nsecond line',
  );
  expect(document.querySelector('[data-field="hint"]')?.textContent).toMatch(/\S/);
});

test('long message is shortened until expanded', async () => {
  await show();
  const message = Array.from({ length: 40 }, (_, index) => `line ${index}`).join('\n');
  page.pushFrame(1, { rows: [failed('a', { failure: { reason: 'registry_error', message } })] });
  const said = () => document.querySelector('[data-field="said"]')?.textContent;
  expect(said()).toMatch(/line 9 …$/);
  await page.user.click(within(entries()[0] as HTMLElement).getByRole('button', { name: / 40 / }));
  expect(said()).toBe(message);
});

test('failure without details is listed', async () => {
  await show();
  const { failure: _, ...silent } = failed('a');
  page.pushFrame(1, { rows: [silent] });
  expect(entries().map((entry) => entry.dataset.failure)).toEqual(['unexplained']);
  expect(document.querySelector('[data-field="said"]')).toBeNull();
  expect(retry()?.textContent).not.toMatch(/\d|^$/);
});

test('unknown reason is shown as its own title', async () => {
  await show();
  page.pushFrame(1, { rows: [failed('a', { failure: { reason: 'moon_phase' as FailureReason } })] });
  expect(screen.getByRole('heading', { name: 'Moon phase' })).toBeTruthy();
});

test('reason and text filters update the URL', async () => {
  await show();
  page.pushFrame(1, {
    rows: [
      failed('a'),
      failed('b', { imageRef: 'ghcr.io/acme/web:1', failure: { reason: 'not_found' }, nodeName: 'gpu-1' }),
    ],
  });
  await page.user.click(screen.getByRole('button', { name: 'not_found 1' }));
  expect(entries().map((entry) => entry.dataset.failure)).toEqual(['not_found']);
  expect(window.location.hash).toBe('#/failures?reason=not_found');
  await page.user.click(screen.getByRole('button', { name: 'not_found 1', pressed: true }));
  expect(entries()).toHaveLength(2);
  await page.user.type(screen.getByLabelText(FIELD.failures), 'node:gpu');
  await page.advance(200);
  expect(entries().map((entry) => entry.dataset.failure)).toEqual(['not_found']);
  await page.navigate('#/failures?reason=tls');
  expect(message('no-match')).toBeTruthy();
});

test('retry links to its pull until it completes', async () => {
  await show();
  page.answers['api/v1/server'] = { keepsEndedSeconds: 900, startedAt: at(0) };
  page.pushFrame(1, { rows: [failed('a', { pods, attempt: 1 })] });
  const again = { imageRef: 'docker.io/library/redis:7', pods, attempt: 2 };
  page.pushFrame(2, { rows: [pull('b', again)] });
  expect(retry()?.querySelector('a')?.getAttribute('href')).toBe('#/pulls/b');
  expect(entries()[0]?.textContent).toMatch(/redis7docker.io\/library2 /);
  page.pushFrame(3, { rows: [ended('b', { ...again, completedAt: at(20) })] });
  expect(entries()).toEqual([]);
  await page.advance(11_000);
  expect(message('idle')?.textContent).toMatch(/ 15 /);
});
