import { screen } from '@testing-library/react';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { useRoute } from '../../src/route';
import { Search } from '../../src/ui/shell/Search';
import { FIELD } from '../names';
import { node, pull } from './fixtures';
import { type TestPage, testPage } from './testPage';

let page: TestPage;
beforeEach(() => {
  page = testPage();
});
afterEach(() => page.close());

function Bar() {
  return <Search route={useRoute()} />;
}

const link = (podName: string) => ({
  namespace: 'shop',
  podName,
  uid: podName,
  container: 'app',
  image: 'x',
});
const field = () => screen.getByRole<HTMLInputElement>('combobox', { name: FIELD.search });
/** Links of the options. */
const options = (): (string | null)[] =>
  screen.queryAllByRole('option').map((option) => option.getAttribute('data-href'));
const chosen = (): string | null | undefined =>
  document.getElementById(field().getAttribute('aria-activedescendant') ?? '')?.getAttribute('data-href');

const show = async (hash: string) => {
  window.location.hash = hash;
  await page.show(<Bar />);
  page.pushFrame(1, {
    rows: [
      pull('web', { nodeName: 'worker-1', pods: [link('web-1'), link('web-2')] }),
      pull('<b>', { nodeName: 'worker-2', imageRef: 'x/we\u202eb:1' }),
    ],
    nodes: [node('worker-1'), node('worker-2')],
  });
};

test('pod is found and opened with Enter', async () => {
  await show('#/nodes');
  expect(field().id).toBe('search');
  expect(field().getAttribute('aria-expanded')).toBe('false');
  await page.user.type(field(), 'we');
  expect(field().getAttribute('aria-expanded')).toBe('true');
  expect(options()).toEqual([
    '#/pulls?q=we',
    '#/pods/shop/web-1',
    '#/pods/shop/web-2',
    '#/images?q=registry.example%2Fteam+web%3A1.0',
    '#/images?q=x+we%E2%80%AEb%3A1',
  ]);
  expect(screen.getAllByRole('option')[4]?.textContent).toMatch(/^we\\u202eb:1x/);
  expect(chosen()).toBe('#/pulls?q=we');
  await page.user.keyboard('{ArrowDown}{ArrowDown}');
  expect(chosen()).toBe('#/pods/shop/web-2');
  await page.user.keyboard('{Enter}');
  expect(window.location.hash).toBe('#/pods/shop/web-2');
  expect(field().value).toBe('');
  expect(options()).toEqual([]);
});

test('Enter filters the pulls table', async () => {
  await show('#/');
  await page.user.type(field(), ' node:worker-1 {Enter}');
  expect(window.location.hash).toBe('#/pulls?q=node%3Aworker-1');
});

test('search opens nodes, images and pages', async () => {
  await show('#/');
  await page.user.type(field(), 'worker-2{ArrowUp}{Enter}');
  expect(window.location.hash).toBe('#/nodes/worker-2');
  await page.user.type(field(), 'registry{ArrowDown}{Enter}');
  expect(window.location.hash).toBe('#/images?q=registry.example%2Fteam+web%3A1.0');
  await page.user.type(field(), 'fail{ArrowUp}{Enter}');
  expect(window.location.hash).toBe('#/failures');
});

test('typing filters pulls when on the pulls page', async () => {
  await show('#/pulls?sort=node&q=old');
  expect(field().value).toBe('old');
  await page.user.clear(field());
  await page.user.type(field(), 'web');
  await page.advance(150);
  expect(window.location.hash).toBe('#/pulls?sort=node&q=web');
  expect(options()[0]).toBe('#/pods/shop/web-1');
  expect(chosen()).toBeUndefined();
  await page.user.keyboard('{Enter}');
  expect(options()).toEqual([]);
  expect(window.location.hash).toBe('#/pulls?sort=node&q=web');
  // Opening a pod keeps the filter in the history.
  await page.user.type(field(), '-');
  await page.user.click(screen.getAllByRole('option')[1] as HTMLElement);
  expect(window.location.hash).toBe('#/pods/shop/web-2');
  await page.advance(500);
  expect(window.location.hash).toBe('#/pods/shop/web-2');
});

test('Escape closes, clears, then blurs the field', async () => {
  await show('#/');
  await page.user.type(field(), 'we{Escape}');
  expect(options()).toEqual([]);
  expect(field().value).toBe('we');
  await page.user.keyboard('{Escape}');
  expect(field().value).toBe('');
  expect(document.activeElement).toBe(field());
  await page.user.keyboard('{Escape}');
  expect(document.activeElement).toBe(document.body);
});

test('list closes when the field loses focus', async () => {
  await show('#/');
  await page.user.type(field(), 'we');
  await page.user.tab();
  expect(options()).toEqual([]);
});
