import { screen, within } from '@testing-library/react';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { FailureReason, PullStatus } from '../../src/api/gen/wire';
import { type TestPage, testPage } from './page';
import { at, ended, pull } from './some';

let page: TestPage;
beforeEach(() => {
  page = testPage();
});
afterEach(() => page.close());

const show = async (hash = '#/failures') => {
  window.location.hash = hash;
  await import('../../src/pages/later');
  await page.show();
};
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

test('a failure says what, where, for whom, and what to do', async () => {
  await show();
  page.say(1, {
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
  expect(within(entry).getByRole('heading').textContent).toBe('The name of the registry has no address');
  expect(entry.textContent).toMatch(
    /redis7docker.io\/library3 tries2 nodes1 podfirst at 19:59:00 UTClast 6 s ago/,
  );
  expect(entry.querySelector('[data-field="retry"]')?.textContent).toBe('again in 30 s');
  expect(entry.querySelector('[data-field="hint"]')?.textContent).toBe('Look at the name');
  expect(entry.textContent).toContain('dns is explained in docs/failures.md');
  // What was said last, and what was said otherwise elsewhere.
  const said = [...entry.querySelectorAll('[data-field="said"]')].map((each) => each.textContent);
  expect(said).toEqual(['server misbehaving', 'no such host']);
  const link = (name: string) => within(entry).getByRole('link', { name }).getAttribute('href');
  expect(link('shop/cart')).toBe('#/pods/shop/cart');
  expect(link('n2')).toBe('#/pulls/b');
  // It counts down.
  await page.pass(4_000);
  expect(entry.querySelector('[data-field="retry"]')?.textContent).toBe('again in 26 s');
});

test('what was said is text, whatever it holds', async () => {
  await show();
  const message = '<img src=x onerror="alert(1)"> \u001b[31mred\u001b[0m \u202etxet\nsecond line';
  page.say(1, { rows: [failed('a', { failure: { reason: 'other', message } })] });
  const said = document.querySelector('[data-field="said"]');
  expect(said?.querySelector('*')).toBeNull();
  expect(said?.textContent).toBe(
    '<img src=x onerror="alert(1)"> \\x1b[31mred\\x1b[0m \\u202etxet\nsecond line',
  );
  expect(document.querySelector('[data-field="hint"]')?.textContent).toBe(
    'There is no advice for this reason.',
  );
});

test('of a page that a registry answered with the first lines are shown, and all when asked', async () => {
  await show();
  const message = Array.from({ length: 40 }, (_, index) => `line ${index}`).join('\n');
  page.say(1, { rows: [failed('a', { failure: { reason: 'registry_error', message } })] });
  const said = () => document.querySelector('[data-field="said"]')?.textContent;
  expect(said()).toMatch(/line 9 …$/);
  await page.user.click(screen.getByRole('button', { name: 'Show all 40 lines' }));
  expect(said()).toBe(message);
});

test('a failure of which nobody says anything is one', async () => {
  await show();
  const { failure: _, ...silent } = failed('a');
  page.say(1, { rows: [silent] });
  expect(screen.getByText(/Nothing was said about it/)).toBeTruthy();
  expect(screen.getByText('No further try is known')).toBeTruthy();
});

test('a failure with a word of a newer server is shown with it', async () => {
  await show();
  page.say(1, { rows: [failed('a', { failure: { reason: 'moon_phase' as FailureReason } })] });
  expect(screen.getByRole('heading', { name: 'Moon phase' })).toBeTruthy();
});

test('failures are picked by reason and by words, and the address keeps both', async () => {
  await show();
  page.say(1, {
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
  await page.user.type(screen.getByLabelText('Image, node, pod or reason'), 'node:gpu');
  await page.pass(200);
  expect(entries().map((entry) => entry.dataset.failure)).toEqual(['not_found']);
  await page.go('#/failures?reason=tls');
  expect(document.querySelector('[data-message="no-match"]')).toBeTruthy();
});

test('what is tried again just now leads to that pull, and what a try brought is gone', async () => {
  await show();
  page.answers['api/v1/server'] = { keepsEndedSeconds: 900, startedAt: at(0) };
  page.say(1, { rows: [failed('a', { pods, attempt: 1 })] });
  const again = { imageRef: 'docker.io/library/redis:7', pods, attempt: 2 };
  page.say(2, { rows: [pull('b', again)] });
  expect(screen.getByRole('link', { name: 'Tried again now' }).getAttribute('href')).toBe('#/pulls/b');
  expect(entries()[0]?.textContent).toContain('2 tries');
  page.say(3, { rows: [ended('b', { ...again, completedAt: at(20) })] });
  expect(entries()).toEqual([]);
  await page.pass(11_000);
  expect(screen.getByText('Nothing has failed in the last 15 minutes')).toBeTruthy();
});
