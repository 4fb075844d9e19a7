import { render, screen, within } from '@testing-library/react';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { RequestError } from '../../src/api/events';
import { FAILURE_TITLES } from '../../src/api/gen/failures';
import type { ServerStatus } from '../../src/api/gen/wire';
import { describeDisconnect } from '../../src/ui/Connection';
import { ErrorBoundary } from '../../src/ui/ErrorBoundary';
import { keyAction, SHORTCUTS } from '../../src/ui/shell/keys';
import { BUTTON, LIST, OPTION, REGION } from '../names';
import { at, ended, node, pull, T0 } from './fixtures';
import { stubDialogs, type TestPage, testPage } from './testPage';

let page: TestPage;

beforeEach(() => {
  page = testPage();
  const icon = document.createElement('link');
  icon.rel = 'icon';
  document.head.replaceChildren(icon);
  stubDialogs();
});
afterEach(() => page.close());

const SERVER: ServerStatus = {
  epoch: 'e',
  seq: 1,
  now: T0,
  version: '0.1.0 (0123456789ab)',
  page: 'aaaa',
  clusterName: 'prod-eu-west-1',
  startedAt: at(-3600),
  keepsEndedSeconds: 900,
  cluster: { pods: 'live', events: 'live' },
  throughput: { stepSeconds: 2, bytesPerSec: [] },
};

const icon = () => document.querySelector('link[rel=icon]')?.getAttribute('href');
const failed = (id: string) =>
  ended(id, { phase: 'failed', outcome: 'failed', failure: { reason: 'dns', message: 'no such host' } });

let broken: boolean;
function Broken() {
  if (broken) throw new Error('this one');
  return <p>whole again</p>;
}

const connection = () => document.querySelector<HTMLElement>('[data-connection]')?.dataset;
const message = (name: string) => document.querySelector<HTMLElement>(`[data-message="${name}"]`);
const banner = () => screen.queryByRole('region', { name: REGION.connection });

function openSettings(): HTMLElement {
  const panel = document.getElementById('settings') as HTMLElement;
  panel.dispatchEvent(Object.assign(new Event('toggle'), { newState: 'open', oldState: 'closed' }));
  return panel;
}

test('tab title shows page, failures and connection', async () => {
  await page.show();
  expect(icon()).toBe('./favicon.svg');
  page.pushFrame(1, { rows: [pull('web', { imageRef: 'r.example/web:2' })] });
  await page.navigate('#/pulls/web');
  expect(document.title).toMatch(/^web:2 /);
  page.pushFrame(2, { rows: [failed('a'), failed('b')] });
  expect(document.title).toMatch(/^\(2 .+\) web:2 /);
  expect(icon()).toBe('./favicon-failing.svg');
  page.rejectWith = new RequestError({ kind: 'unreachable' });
  page.disconnect();
  await page.advance(1_000);
  expect(icon()).toBe('./favicon-failing.svg');
  await page.advance(2_000);
  expect(icon()).toBe('./favicon-lost.svg');
  expect(document.title).toMatch(/^\(\D+\) web:2 /);
  page.rejectWith = undefined;
  await page.advance(20_000);
  expect(icon()).toBe('./favicon-failing.svg');
});

test('keyboard shortcuts navigate, pause and change theme', async () => {
  await page.show();
  await page.user.keyboard('gn');
  expect(window.location.hash).toBe('#/nodes');
  await page.user.keyboard('gf');
  expect(window.location.hash).toBe('#/failures');
  await page.user.keyboard('2');
  expect(window.location.hash).toBe('#/failures');
  await page.user.keyboard('gp3');
  expect(window.location.hash).toBe('#/pulls?group=namespace');
  await page.user.keyboard(' ');
  expect(page.live.store.paused()).toBe(true);
  await page.user.keyboard(' ');
  expect(page.live.store.paused()).toBe(false);
  await page.user.keyboard('t');
  expect(document.documentElement.dataset.theme).toBe('light');
});

test('shortcut prefix g times out', async () => {
  await page.show();
  await page.user.keyboard('g');
  await page.advance(2_000);
  await page.user.keyboard('n');
  expect(window.location.hash).toBe('');
});

test('shortcuts are ignored in fields and with modifiers', async () => {
  await page.show();
  const field = document.body.appendChild(document.createElement('input'));
  await page.user.type(field, 'gn t 2?');
  expect(field.value).toBe('gn t 2?');
  expect(window.location.hash).toBe('');
  expect(page.live.store.paused()).toBe(false);
  field.remove();
  await page.user.keyboard('g{Control>}n{/Control}');
  expect(window.location.hash).toBe('');
  // The space key presses a focused button.
  const button = document.body.appendChild(document.createElement('button'));
  button.focus();
  await page.user.keyboard(' ');
  expect(page.live.store.paused()).toBe(false);
  button.remove();
});

test('slash focuses the search', async () => {
  await page.show();
  document.getElementById('search')?.remove();
  const field = document.body.appendChild(document.createElement('input'));
  field.id = 'search';
  await page.user.keyboard('/');
  expect(document.activeElement).toBe(field);
  expect(field.value).toBe('');
  field.remove();
});

test('Escape returns to the list with its query', async () => {
  await page.show();
  await page.navigate('#/nodes?q=gpu');
  await page.navigate('#/nodes/gpu-1');
  await page.user.keyboard('{Escape}');
  expect(window.location.hash).toBe('#/nodes?q=gpu');
  await page.user.keyboard('{Escape}');
  expect(window.location.hash).toBe('#/nodes?q=gpu');
});

test('Escape opens the list after a direct link', async () => {
  window.location.hash = '#/nodes/gpu-1';
  await page.show();
  await page.user.keyboard('{Escape}');
  expect(window.location.hash).toBe('#/nodes');
});

test('shortcut list disables shortcuts while open', async () => {
  await page.show();
  await page.user.keyboard('?');
  const list = screen.getByRole('dialog', { name: LIST.shortcuts }) as HTMLDialogElement;
  expect(list.open).toBe(true);
  await page.user.keyboard('gn');
  expect(window.location.hash).toBe('');
  await page.user.click(within(list).getByRole('button', { name: BUTTON.close }));
  expect(list.open).toBe(false);
  for (const { keys, isAlternative } of SHORTCUTS) {
    const last = { Esc: 'Escape', Space: ' ' }[keys.at(-1) ?? ''] ?? keys.at(-1) ?? '';
    // The page with the table handles these.
    if (['j', 'k', 'Enter'].includes(last)) continue;
    expect(keyAction(last, !isAlternative && keys.length === 2), keys.join(' ')).toBeDefined();
  }
});

test('settings count the dropped parts of frames', async () => {
  page.answers['api/v1/server'] = SERVER;
  await page.show();
  page.pushFrame(1, { rows: [pull('a')] });
  const panel = openSettings();
  const dropped = () => panel.querySelector('[data-field="dropped"]')?.textContent;
  expect(dropped()).toBeUndefined();
  page.live.store.handleEvent('frame', 'no frame', 'e-2');
  page.live.store.handleEvent('frame', '{"seq":2,"rows":[7]}', 'e-2');
  page.pushFrame(3, { rows: [pull('b')] });
  openSettings();
  expect(dropped()).toMatch(/^2 \D+$/);
});

test('settings are stored and applied', async () => {
  page.answers['api/v1/server'] = SERVER;
  await page.show();
  openSettings();
  await page.advance(0);
  const panel = within(document.getElementById('settings') as HTMLElement);
  await page.user.click(panel.getByLabelText(OPTION.bits));
  await page.user.click(panel.getByLabelText(OPTION.compact));
  await page.user.click(panel.getByLabelText(OPTION.local));
  expect(document.documentElement.dataset.density).toBe('compact');
  expect(JSON.parse(localStorage.getItem('pulltrace.settings') ?? '')).toEqual({
    theme: 'auto',
    density: 'compact',
    units: 'bits',
    zone: 'local',
  });
  expect(panel.getByText('0.1.0 (0123456789ab)')).toBeTruthy();
  expect(panel.getByText('aaaa')).toBeTruthy();
  // Links work under any base path.
  for (const link of panel.getAllByRole('link', { hidden: true }))
    expect(link.getAttribute('href')).not.toMatch(/^\/|:/);
  expect(document.querySelector('#settings input[type="password"]')).toBeNull();
});

test('theme button cycles and stores the theme', async () => {
  await page.show();
  expect(document.documentElement.dataset.theme).toBeUndefined();
  const button = screen.getByRole('button', { name: BUTTON.theme });
  await page.user.click(button);
  expect(document.documentElement.dataset.theme).toBe('light');
  expect(localStorage.getItem('pulltrace.settings')).toContain('"theme":"light"');
  await page.user.click(button);
  expect(document.documentElement.dataset.theme).toBe('dark');
  await page.user.click(button);
  expect(document.documentElement.dataset.theme).toBeUndefined();
});

test('outdated page offers a reload', async () => {
  page.answers['api/v1/server'] = SERVER;
  await page.show();
  expect(message('update')).toBeNull();
  page.answers['api/v1/server'] = { ...SERVER, page: 'bbbb' };
  await page.advance(11_000);
  const bar = within(screen.getByRole('region', { name: REGION.update }));
  expect(bar.getByRole('button')).toBeTruthy();
  expect(message('restarted')).toBeNull();
});

test('unknown server start shows no restart notice', async () => {
  page.answers['api/v1/server'] = { ...SERVER, now: 'odd', startedAt: 'odd' };
  await page.show();
  await page.advance(100);
  expect(message('restarted')).toBeNull();
  expect(message('started')).toBeNull();
});

test('server restart shows a notice until dismissed', async () => {
  page.answers['api/v1/server'] = SERVER;
  await page.show();
  page.answers['api/v1/server'] = { ...SERVER, startedAt: at(-30) };
  await page.advance(11_000);
  const bar = screen.getByRole('region', { name: REGION.restart });
  expect(bar.dataset.message).toBe('restarted');
  expect(bar.querySelector('time')?.textContent).toBe('19:59 UTC');
  await page.user.click(within(bar).getByRole('button', { name: BUTTON.close }));
  expect(message('restarted')).toBeNull();
  await page.advance(20_000);
  expect(message('restarted')).toBeNull();
  page.answers['api/v1/server'] = { ...SERVER, startedAt: at(20) };
  await page.advance(11_000);
  expect(message('restarted')).toBeTruthy();
});

test('recent server start shows a notice', async () => {
  page.answers['api/v1/server'] = { ...SERVER, startedAt: at(-8) };
  await page.show();
  expect(message('started')?.querySelector('time')?.textContent).toBe('19:59 UTC');
});

test('lost connection shows reason, age and next retry', async () => {
  await page.show();
  page.pushFrame(1, { rows: [pull('a', { percent: 40 })] });
  expect(connection()?.connection).toBe('live');
  page.rejectWith = new RequestError({ kind: 'unavailable', status: 503, detail: 'too many readers' });
  page.disconnect();
  await page.advance(4_000);
  // The status, the server's words, the age of the data, and the time to the next attempt.
  expect(banner()?.textContent).toMatch(/503\D+too many readers\D+\d s\D+\d+ s\D*$/);
  expect(connection()).toMatchObject({ connection: 'lost', loss: 'unavailable' });
  expect(document.querySelector('[data-connection]')?.textContent).toMatch(/\d s/);
  expect(screen.getByRole('status').textContent).toContain('503');
  page.rejectWith = undefined;
  await page.user.click(within(banner() as HTMLElement).getByRole('button'));
  await page.advance(0);
  expect(connection()?.connection).toBe('live');
  expect(banner()).toBeNull();
});

test('short disconnect shows no banner', async () => {
  await page.show();
  page.pushFrame(1);
  page.disconnect();
  await page.advance(400);
  expect(banner()).toBeNull();
  await page.advance(600);
  expect(connection()?.connection).toBe('live');
  expect(screen.getByRole('status').textContent).toBe('');
});

test('hidden page disconnects and resumes when visible', async () => {
  await page.show();
  page.live.stream.setVisible(false);
  await page.advance(31_000);
  expect(connection()?.connection).toBe('resting');
  page.live.stream.setVisible(true);
  await page.advance(0);
  expect(connection()?.connection).toBe('live');
});

test('token form reports a missing or wrong token', async () => {
  page.rejectWith = new RequestError({ kind: 'unauthorized' });
  await page.show();
  const label = () => (banner() as HTMLElement).querySelector('label') as HTMLLabelElement;
  const field = () => label().control as HTMLInputElement;
  expect(connection()?.loss).toBe('unauthorized');
  const prompt = label().textContent;
  await page.user.type(field(), 'wrong{Enter}');
  await page.advance(0);
  expect(label().textContent).not.toBe(prompt);
  await page.user.clear(field());
  await page.user.type(field(), 's3cret{Enter}');
  await page.advance(0);
  expect(connection()?.connection).toBe('live');
  expect(banner()).toBeNull();
  expect(JSON.stringify({ ...localStorage })).not.toContain('s3cret');
  // The token can be replaced.
  const panel = openSettings();
  await page.advance(0);
  expect(panel.querySelector('input[type="password"]')).toBeTruthy();
});

test('announcements are limited to one per ten seconds', async () => {
  await page.show();
  const status = () => screen.getByRole('status').textContent ?? '';
  page.pushFrame(1, { rows: [pull('a'), pull('b'), pull('c')] });
  page.pushFrame(2, { rows: [failed('a')] });
  await page.advance(10);
  expect(status()).toMatch(/a:1\.0 .*\bn1\b/);
  expect(status()).toContain(FAILURE_TITLES.dns);
  page.pushFrame(3, { rows: [failed('b')] });
  page.rejectWith = new RequestError({ kind: 'unreachable' });
  page.disconnect();
  await page.advance(8_000);
  expect(status()).toContain('a:1.0');
  await page.advance(3_000);
  expect(status()).toContain('b:1.0');
  expect(status()).toContain(describeDisconnect({ kind: 'unreachable' }));
});

test('navigation shows pull and failure counts', async () => {
  page.answers['api/v1/server'] = SERVER;
  await page.show();
  page.pushFrame(1, { nodes: [node('n1')], rows: [pull('a'), pull('b'), failed('c')] });
  const pages = screen.getByRole('navigation', { name: LIST.pages });
  const count = (hash: string) =>
    /\d+$/.exec(pages.querySelector(`a[href="${hash}"]`)?.textContent ?? '')?.[0];
  expect(['#/pulls', '#/failures', '#/nodes'].map(count)).toEqual(['2', '1', undefined]);
  expect(screen.getByText('prod-eu-west-1')).toBeTruthy();
});

test('render error shows a message and a retry', async () => {
  const quiet = vi.spyOn(console, 'error').mockImplementation(() => {});
  broken = true;
  render(
    <ErrorBoundary>
      <Broken />
    </ErrorBoundary>,
  );
  expect(message('fault')).toBeTruthy();
  expect(screen.getByText('Error: this one')).toBeTruthy();
  expect(document.querySelector('details')?.textContent).toMatch(/at Broken/);
  expect(screen.getByRole('link').getAttribute('href')).toBe('#/');
  broken = false;
  await page.user.click(screen.getByRole('button'));
  expect(screen.getByText('whole again')).toBeTruthy();
  quiet.mockRestore();
});
