import { render, screen, within } from '@testing-library/react';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { Refused } from '../../src/api/events';
import type { ServerStatus } from '../../src/api/gen/wire';
import { ErrorBoundary } from '../../src/ui/ErrorBoundary';
import { deed, KEYS } from '../../src/ui/shell/keys';
import { type TestPage, testPage } from './page';
import { at, ended, node, pull, T0 } from './some';

let page: TestPage;

beforeEach(() => {
  page = testPage();
  const icon = document.createElement('link');
  icon.rel = 'icon';
  document.head.replaceChildren(icon);
  // The browser's own windows and what lies over the page are not in jsdom.
  HTMLDialogElement.prototype.showModal = function () {
    this.open = true;
  };
  HTMLDialogElement.prototype.close = function () {
    this.open = false;
  };
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

function openSettings(): HTMLElement {
  const panel = document.getElementById('settings') as HTMLElement;
  panel.dispatchEvent(Object.assign(new Event('toggle'), { newState: 'open', oldState: 'closed' }));
  return panel;
}

test('the tab says how many are failing, where one is, and whether it is cut off', async () => {
  await page.show();
  expect(document.title).toBe('Overview · pulltrace');
  expect(icon()).toBe('./favicon.svg');
  page.say(1, { rows: [pull('web', { imageRef: 'r.example/web:2' })] });
  await page.go('#/pulls/web');
  expect(document.title).toBe('web:2 · pulltrace');
  page.say(2, { rows: [failed('a'), failed('b')] });
  expect(document.title).toBe('(2 failing) web:2 · pulltrace');
  expect(icon()).toBe('./favicon-failing.svg');
  page.refuse = new Refused({ kind: 'unreachable' });
  page.cut();
  await page.pass(1_000);
  expect(icon()).toBe('./favicon-failing.svg');
  await page.pass(2_000);
  expect(icon()).toBe('./favicon-lost.svg');
  expect(document.title).toBe('(not connected) web:2 · pulltrace');
  page.refuse = undefined;
  await page.pass(20_000);
  expect(icon()).toBe('./favicon-failing.svg');
});

test('keys lead to pages, hold the page, change the theme and the group', async () => {
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

test('after g a key must follow soon', async () => {
  await page.show();
  await page.user.keyboard('g');
  await page.pass(2_000);
  await page.user.keyboard('n');
  expect(window.location.hash).toBe('');
});

test('keys are text in a field, and belong to the browser with a modifier', async () => {
  await page.show();
  const field = document.body.appendChild(document.createElement('input'));
  await page.user.type(field, 'gn t 2?');
  expect(field.value).toBe('gn t 2?');
  expect(window.location.hash).toBe('');
  expect(page.live.store.paused()).toBe(false);
  field.remove();
  await page.user.keyboard('g{Control>}n{/Control}');
  expect(window.location.hash).toBe('');
  // A button is pressed with it.
  const button = document.body.appendChild(document.createElement('button'));
  button.focus();
  await page.user.keyboard(' ');
  expect(page.live.store.paused()).toBe(false);
  button.remove();
});

test('the search has a key', async () => {
  await page.show();
  document.getElementById('search')?.remove();
  const field = document.body.appendChild(document.createElement('input'));
  field.id = 'search';
  await page.user.keyboard('/');
  expect(document.activeElement).toBe(field);
  expect(field.value).toBe('');
  field.remove();
});

test('escape leads back to the list as it was', async () => {
  await page.show();
  await page.go('#/nodes?q=gpu');
  await page.go('#/nodes/gpu-1');
  await page.user.keyboard('{Escape}');
  expect(window.location.hash).toBe('#/nodes?q=gpu');
  await page.user.keyboard('{Escape}');
  expect(window.location.hash).toBe('#/nodes?q=gpu');
});

test('whoever came by a link goes back to the list of what it leads to', async () => {
  window.location.hash = '#/nodes/gpu-1';
  await page.show();
  await page.user.keyboard('{Escape}');
  expect(window.location.hash).toBe('#/nodes');
});

test('there is a list of all keys, and while it is open they do nothing', async () => {
  await page.show();
  await page.user.keyboard('?');
  const list = screen.getByRole('dialog', { name: 'Keyboard' }) as HTMLDialogElement;
  expect(list.open).toBe(true);
  await page.user.keyboard('gn');
  expect(window.location.hash).toBe('');
  await page.user.click(within(list).getByRole('button', { name: 'Close' }));
  expect(list.open).toBe(false);
  for (const { keys, or } of KEYS) {
    const last = { Esc: 'Escape', Space: ' ' }[keys.at(-1) ?? ''] ?? keys.at(-1) ?? '';
    // Rows are moved through by the page that has them.
    if (['j', 'k', 'Enter'].includes(last)) continue;
    expect(deed(last, !or && keys.length === 2), keys.join(' ')).toBeDefined();
  }
});

test('what the server said and could not be used is counted where the versions are', async () => {
  page.answers['api/v1/server'] = SERVER;
  await page.show();
  page.say(1, { rows: [pull('a')] });
  const panel = openSettings();
  expect(within(panel).queryByText('Left out')).toBeNull();
  page.live.store.event('frame', 'no frame', 'e-2');
  page.live.store.event('frame', '{"seq":2,"rows":[7]}', 'e-2');
  page.say(3, { rows: [pull('b')] });
  openSettings();
  expect(within(panel).getByText('Left out').nextSibling?.textContent).toBe('2 not understood');
});

test('settings are kept in this browser, and units and rows follow them', async () => {
  page.answers['api/v1/server'] = SERVER;
  await page.show();
  openSettings();
  await page.pass(0);
  const panel = within(document.getElementById('settings') as HTMLElement);
  await page.user.click(panel.getByLabelText('Mbit/s'));
  await page.user.click(panel.getByLabelText('Compact'));
  await page.user.click(panel.getByLabelText('Local'));
  expect(document.documentElement.dataset.density).toBe('compact');
  expect(JSON.parse(localStorage.getItem('pulltrace.settings') ?? '')).toEqual({
    theme: 'auto',
    density: 'compact',
    units: 'bits',
    zone: 'local',
  });
  expect(panel.getByText('0.1.0 (0123456789ab)')).toBeTruthy();
  expect(panel.getByText('aaaa')).toBeTruthy();
  // Under any path.
  for (const link of panel.getAllByRole('link', { hidden: true }))
    expect(link.getAttribute('href')).not.toMatch(/^\/|:/);
  expect(panel.queryByLabelText(/token/)).toBeNull();
});

test('a theme is kept, and left to the system at first', async () => {
  await page.show();
  expect(document.documentElement.dataset.theme).toBeUndefined();
  await page.user.click(screen.getByRole('button', { name: /^Theme: as the system/ }));
  expect(document.documentElement.dataset.theme).toBe('light');
  expect(localStorage.getItem('pulltrace.settings')).toContain('"theme":"light"');
  await page.user.click(screen.getByRole('button', { name: /^Theme: light/ }));
  await page.user.click(screen.getByRole('button', { name: /^Theme: dark/ }));
  expect(document.documentElement.dataset.theme).toBeUndefined();
});

test('a page that is older than its server says so, and does not load itself again', async () => {
  page.answers['api/v1/server'] = SERVER;
  await page.show();
  expect(screen.queryByRole('region', { name: 'Update' })).toBeNull();
  page.answers['api/v1/server'] = { ...SERVER, page: 'bbbb' };
  await page.pass(11_000);
  const bar = within(screen.getByRole('region', { name: 'Update' }));
  expect(bar.getByText(/older than its server/)).toBeTruthy();
  expect(bar.getByRole('button', { name: 'Reload' })).toBeTruthy();
  expect(screen.queryByRole('region', { name: 'Restart' })).toBeNull();
});

test('a server whose start is not known is not taken for a young one', async () => {
  page.answers['api/v1/server'] = { ...SERVER, now: 'odd', startedAt: 'odd' };
  await page.show();
  await page.pass(100);
  expect(screen.queryByRole('region', { name: 'Restart' })).toBeNull();
});

test('a server that was started anew says since when it knows, until that is read', async () => {
  page.answers['api/v1/server'] = SERVER;
  await page.show();
  page.answers['api/v1/server'] = { ...SERVER, startedAt: at(-30) };
  await page.pass(11_000);
  const bar = screen.getByRole('region', { name: 'Restart' });
  expect(bar.textContent).toContain('The server was started anew: history starts at 19:59 UTC');
  await page.user.click(within(bar).getByRole('button', { name: 'Close' }));
  expect(screen.queryByRole('region', { name: 'Restart' })).toBeNull();
  await page.pass(20_000);
  expect(screen.queryByRole('region', { name: 'Restart' })).toBeNull();
  page.answers['api/v1/server'] = { ...SERVER, startedAt: at(20) };
  await page.pass(11_000);
  expect(screen.getByRole('region', { name: 'Restart' })).toBeTruthy();
});

test('a server that has just started says so also to who comes later', async () => {
  page.answers['api/v1/server'] = { ...SERVER, startedAt: at(-8) };
  await page.show();
  expect(screen.getByRole('region', { name: 'Restart' }).textContent).toContain(
    'The server has just started: history starts at 19:59 UTC',
  );
});

test('a lost connection says which, how old the figures are, and what comes next', async () => {
  await page.show();
  page.say(1, { rows: [pull('a', { percent: 40 })] });
  expect(screen.getByText('Live')).toBeTruthy();
  page.refuse = new Refused({ kind: 'unavailable', status: 503, detail: 'too many readers' });
  page.cut();
  await page.pass(4_000);
  const banner = screen.getByRole('region', { name: 'Connection' });
  expect(banner.textContent).toMatch(
    /cannot serve the page now \(503\).*too many readers.*stopped \d s ago.*Next try in \d+ s/,
  );
  expect(screen.getByText(/^Reconnecting/).textContent).toMatch(/data \d s old/);
  expect(screen.getByRole('status').textContent).toContain('503');
  page.refuse = undefined;
  await page.user.click(within(banner).getByRole('button', { name: 'Try now' }));
  await page.pass(0);
  expect(screen.getByText('Live')).toBeTruthy();
  expect(screen.queryByRole('region', { name: 'Connection' })).toBeNull();
});

test('a cut that is over at once is nobody’s business', async () => {
  await page.show();
  page.say(1);
  page.cut();
  await page.pass(400);
  expect(screen.queryByRole('region', { name: 'Connection' })).toBeNull();
  await page.pass(600);
  expect(screen.getByText('Live')).toBeTruthy();
  expect(screen.getByRole('status').textContent).toBe('');
});

test('a page that nobody looks at rests, and goes on when somebody does', async () => {
  await page.show();
  page.live.stream.visible(false);
  await page.pass(31_000);
  expect(screen.getByText('Resting')).toBeTruthy();
  page.live.stream.visible(true);
  await page.pass(0);
  expect(screen.getByText('Live')).toBeTruthy();
});

test('a server that wants a token asks for it, and says when it does not know it', async () => {
  page.refuse = new Refused({ kind: 'unauthorized' });
  await page.show();
  await page.user.type(screen.getByLabelText('The server asks for a token (401).'), 'wrong{Enter}');
  await page.pass(0);
  const field = screen.getByLabelText('The server does not know this token (401).');
  await page.user.clear(field);
  await page.user.type(field, 's3cret{Enter}');
  await page.pass(0);
  expect(screen.getByText('Live')).toBeTruthy();
  expect(screen.queryByRole('region', { name: 'Connection' })).toBeNull();
  expect(JSON.stringify({ ...localStorage })).not.toContain('s3cret');
  // It can be replaced.
  openSettings();
  await page.pass(0);
  expect(screen.getByLabelText('Another token')).toBeTruthy();
});

test('a screen reader is told of failures and of the connection, not more than once in ten seconds', async () => {
  await page.show();
  const said = () => screen.getByRole('status').textContent ?? '';
  page.say(1, { rows: [pull('a'), pull('b'), pull('c')] });
  page.say(2, { rows: [failed('a')] });
  await page.pass(10);
  expect(said()).toContain('The pull of a:1.0 on n1 failed: the name of the registry has no address');
  page.say(3, { rows: [failed('b')] });
  page.refuse = new Refused({ kind: 'unreachable' });
  page.cut();
  await page.pass(8_000);
  expect(said()).toContain('a:1.0');
  await page.pass(3_000);
  expect(said()).toContain('b:1.0');
  expect(said()).toContain('cannot be reached');
});

test('the bar of pages counts what goes on and what fails', async () => {
  page.answers['api/v1/server'] = SERVER;
  await page.show();
  page.say(1, { nodes: [node('n1')], rows: [pull('a'), pull('b'), failed('c')] });
  const pages = within(screen.getByRole('navigation', { name: 'Pages' }));
  expect(pages.getByRole('link', { name: /^Pulls/ }).textContent).toBe('Pulls2');
  expect(pages.getByRole('link', { name: /^Failures/ }).textContent).toBe('Failures1');
  expect(screen.getByText('prod-eu-west-1')).toBeTruthy();
});

test('a fault in drawing says what it is and where, and leads back, instead of a blank page', async () => {
  const quiet = vi.spyOn(console, 'error').mockImplementation(() => {});
  broken = true;
  render(
    <ErrorBoundary>
      <Broken />
    </ErrorBoundary>,
  );
  expect(screen.getByText('This page has a fault')).toBeTruthy();
  expect(screen.getByText('Error: this one')).toBeTruthy();
  expect(document.querySelector('details')?.textContent).toMatch(/at Broken/);
  expect(screen.getByRole('link', { name: 'Go to the overview' }).getAttribute('href')).toBe('#/');
  broken = false;
  await page.user.click(screen.getByRole('button', { name: 'Show it again' }));
  expect(screen.getByText('whole again')).toBeTruthy();
  quiet.mockRestore();
});
