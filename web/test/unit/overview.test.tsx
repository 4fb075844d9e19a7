import { act, fireEvent, screen, within } from '@testing-library/react';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { RequestError } from '../../src/api/events';
import { FAILURE_TITLES } from '../../src/api/gen/failures';
import type { PodLink, PullStatus, ServerStatus, SourceState } from '../../src/api/gen/wire';
import { Overview } from '../../src/pages/overview/Overview';
import { useRoute } from '../../src/route';
import { changeSettings } from '../../src/settings';
import { OPTION, REGION } from '../names';
import { at, ended, frame, motion, node, pull } from './fixtures';
import { type TestPage, testPage } from './testPage';

let page: TestPage;

const Page = () => (
  <main>
    <Overview route={useRoute()} />
  </main>
);

beforeEach(() => {
  page = testPage();
});
afterEach(() => page.close());

const server = (more: Partial<ServerStatus> = {}): ServerStatus => ({
  epoch: 'e',
  seq: 1,
  now: at(0),
  version: '0.1.0 (0123456789ab)',
  startedAt: at(-3600),
  keepsEndedSeconds: 1800,
  cluster: { pods: 'live', events: 'live' },
  throughput: { stepSeconds: 2, endsAt: at(10), bytesPerSec: [0, 2048, null, 1024, 1024] },
  ...more,
});

const link = (podName: string, namespace = 'shop'): PodLink => ({
  namespace,
  podName,
  uid: podName,
  container: 'app',
  image: 'x',
});
const APP = 'ghcr.io/acme/app:1.0';
const on = (nodeName: string, more: Partial<PullStatus> = {}) =>
  pull(`app-${nodeName}`, { imageRef: APP, nodeName, ...more });
const failed = (id: string, more: Partial<PullStatus> = {}) =>
  ended(id, {
    phase: 'failed',
    outcome: 'failed',
    failure: { reason: 'not_found', message: 'no such manifest', hint: 'check the tag', nextRetryAt: at(41) },
    ...more,
  });

const find = (selector: string): HTMLElement => {
  const found = document.querySelector<HTMLElement>(selector);
  if (!found) throw new Error(`no ${selector}`);
  return found;
};
const figure = (name: string): string => find(`[data-figure="${name}"]`).textContent ?? '';
const groupNames = (): (string | undefined)[] =>
  [...document.querySelectorAll<HTMLElement>('[data-group]')].map(({ dataset }) => dataset.group);
const panel = (name: string): HTMLElement => screen.getByRole('region', { name });
/** Items that need attention, by kind. */
const items = (): (string | undefined)[] =>
  [...document.querySelectorAll<HTMLElement>('[data-attention]')].map(({ dataset }) => dataset.attention);
const item = (kind: string): string => find(`[data-attention="${kind}"]`).textContent ?? '';

test('no figure is shown before the snapshot completes', async () => {
  await page.show(<Page />);
  expect(find('[data-message="loading"]')).toBeTruthy();
  act(() => {
    page.live.store.handleEvent(
      'frame',
      frame(1, { rows: [on('n1')], nodes: [node('n1', { live: 1 })] }),
      'e-1',
    );
    page.live.store.flush();
  });
  expect(find('[data-message="loading"]')).toBeTruthy();
  expect(find('main').textContent).not.toMatch(/\d/);
  page.pushFrame(1);
  expect(document.querySelector('[data-message="loading"]')).toBeNull();
  expect(figure('active')).toMatch(/\D1\D*$/);
});

test('empty server shows how to start an agent', async () => {
  await page.show(<Page />);
  page.pushFrame(1);
  const text = find('[data-message="no-agents"]').textContent;
  expect(text).toContain('kubectl apply -f deploy/kubectl/agent.yaml');
  expect(text).toMatch(/PULLTRACE_SERVER_URL=http\S* pulltrace-agent/);
});

test('idle cluster shows the last finished pull', async () => {
  await page.show(<Page />);
  page.pushFrame(1, { nodes: [node('n1'), node('n2')] });
  const idle = () => find('[data-message="idle"]');
  expect(idle().textContent).toMatch(/\D2 /);
  expect(within(idle()).queryByRole('link')).toBeNull();
  page.pushFrame(2, { rows: [ended('web', { completedAt: at(-8) })] });
  expect(within(idle()).getByRole('link').getAttribute('href')).toBe('#/pulls/web');
  expect(idle().textContent).toMatch(/web:1\.0\b.*\bn1\b.*\b1\d s\b/);
});

test('six figures link to what they count', async () => {
  page.answers['api/v1/server'] = server();
  await page.show(<Page />);
  page.pushFrame(1, {
    nodes: [node('n1', { live: 2, toDownloadBytes: 3000, downloadedBytes: 952 })],
    rows: [
      on('n1', { etaSeconds: 100, pods: [link('a'), link('b')], startedAt: at(-59) }),
      on('n2', { phase: 'queued' }),
      on('n3', { etaSeconds: 4, bytesPerSec: 400 }),
      on('n4', { etaSeconds: 4, bytesPerSec: 400 }),
      on('n5', { etaSeconds: 80, bytesPerSec: 100, slow: true }),
      failed('redis', { pods: [link('r1'), link('r2'), link('r3')] }),
      ended('x', { completedAt: at(21) }),
    ],
  });
  await page.advance(0);
  // The figure, then its details: the number of queued pulls, the age of the oldest wait, and so on.
  expect(figure('active')).toMatch(/51\D*$/);
  expect(figure('pods')).toMatch(/2\D+1 m 0\d s\D*$/);
  expect(figure('eta')).toMatch(/1 m 40 s2\.00 KiB/);
  expect(figure('failing')).toMatch(/13 \D*$/);
  expect(figure('slow')).toMatch(/1n5\D+4\.0×/);
  expect(figure('duration')).toMatch(/21 s\D+50 21 s\D+1 \D+30 m$/);
  const to = (name: string) => find(`[data-figure="${name}"] a`).getAttribute('href');
  expect(to('active')).toBe('#/pulls?q=state%3Alive');
  expect(to('pods')).toBe('#/?group=pod');
  expect(to('eta')).toBe('#/pulls/app-n1');
  expect(to('failing')).toBe('#/failures');
  expect(to('slow')).toBe('#/pulls?q=state%3Aslow');
});

test('pod count is unknown without a pod source', async () => {
  page.answers['api/v1/server'] = server({
    cluster: { pods: 'forbidden', podsReason: 'cannot list pods', events: 'off' },
  });
  await page.show(<Page />);
  page.pushFrame(1, { nodes: [node('n1', { live: 1 })], rows: [on('n1')] });
  await page.advance(0);
  expect(figure('pods')).toMatch(/^\D*–\D*$/);
  expect(find(`[data-group="${APP}"] [data-field="pods"]`).textContent).toBe('–');
  expect(find('[data-message="calm"]')).toBeTruthy();
  expect(items()).toEqual(['pods']);
  expect(item('pods')).toContain('cannot list pods');
});

test('unknown source state raises no warning', async () => {
  page.answers['api/v1/server'] = server({ cluster: { pods: 'later' as SourceState, events: 'live' } });
  await page.show(<Page />);
  page.pushFrame(1, { nodes: [node('n1')] });
  await page.advance(0);
  expect(items()).toEqual([]);
});

test('group shows progress, straggler and links', async () => {
  await page.show(<Page />);
  page.pushFrame(1, {
    nodes: [node('n1', { live: 1 }), node('n2', { live: 1 })],
    rows: [
      on('n1', {
        percent: 61.9,
        downloadedBytes: 800,
        extractedBytes: 400,
        bytesPerSec: 2048,
        etaSeconds: 5,
        pods: [link('a'), link('b')],
      }),
      on('n2', { percent: 10, downloadedBytes: 100, bytesPerSec: 1024, etaSeconds: 70, slow: true }),
      ended('app-n3', { imageRef: APP, nodeName: 'n3', completedAt: at(-1), startedAt: at(-9) }),
    ],
  });
  const row = find(`[data-group="${APP}"]`);
  for (const part of ['app', '1.0', 'ghcr.io/acme', 'shop', '1 / 3', '3.00 KiB/s', '1 m 10 s', '57 %']) {
    expect(row.textContent).toContain(part);
  }
  const bar = within(row).getByRole('progressbar');
  expect(bar.getAttribute('aria-label')).toContain('app:1.0');
  expect(bar.getAttribute('aria-valuenow')).toBe('57');
  expect(bar.getAttribute('aria-valuetext')).toMatch(/^57 %\D+1 \D+2 \D+$/);
  const links = within(row).getAllByRole('link');
  expect(links[1]?.dataset.trouble).toBe('slow');
  expect(links[1]?.textContent).toMatch(/\bn2$/);
  expect(links.map((each) => each.getAttribute('href'))).toEqual([
    '#/pulls?q=image%3A%22ghcr.io%2Facme%2Fapp%3A1.0%22',
    '#/pulls/app-n2',
  ]);
});

test('unknown values are not shown as zero', async () => {
  await page.show(<Page />);
  const { totalBytes, toDownloadBytes, downloadedBytes, imageRef, ...rest } = pull('x', {
    phase: 'resolving',
    totalKnown: false,
  });
  page.pushFrame(1, { rows: [rest] });
  const row = find('[data-group=""]');
  expect(find('[data-field="name"]').textContent).not.toBe('');
  expect(row.textContent).not.toMatch(/\b0 %|100 %|0 B/);
  expect(within(row).getByRole('progressbar').hasAttribute('aria-valuenow')).toBe(false);
  expect(within(row).queryByRole('link')).toBeNull();
});

test('grouping is chosen and kept in the URL', async () => {
  await page.show(<Page />);
  page.pushFrame(1, {
    nodes: [node('n1', { live: 2 })],
    rows: [on('n1', { pods: [link('a'), link('b', 'ml')] }), pull('web', { nodeName: 'n1' })],
  });
  expect(groupNames().sort()).toEqual([APP, 'registry.example/team/web:1.0']);
  await page.user.click(screen.getByLabelText(OPTION.node));
  expect(window.location.hash).toBe('#/?group=node');
  expect(groupNames()).toEqual(['n1']);
  await page.navigate('#/?group=pod');
  expect(groupNames()).toEqual(['ml/b', 'shop/a', '']);
  expect(within(find('[data-group="shop/a"]')).getAllByRole('link')[0]?.getAttribute('href')).toBe(
    '#/pods/shop/a',
  );
  await page.user.click(screen.getByLabelText(OPTION.image));
  expect(window.location.hash).toBe('#/');
});

test('groups keep their places while progressing', async () => {
  await page.show(<Page />);
  const rows = ['a', 'b', 'c'].map((id, index) => pull(id, { toDownloadBytes: 1000 * (3 - index) }));
  page.pushFrame(1, { nodes: [node('n1', { live: 3 })], rows });
  const before = groupNames();
  expect(before).toEqual(['a', 'b', 'c'].map((id) => `registry.example/team/${id}:1.0`));
  page.pushFrame(2, {
    up: [motion('a', { downloadedBytes: 2990 })],
    rows: [pull('0', { toDownloadBytes: 9e6 })],
  });
  expect(groupNames()).toEqual([...before, 'registry.example/team/0:1.0']);
});

test('extra groups are behind a link', async () => {
  await page.show(<Page />);
  const rows = Array.from({ length: 40 }, (_, index) => pull(`p${index}`));
  page.pushFrame(1, { nodes: [node('n1', { live: 40 })], rows });
  expect(groupNames()).toHaveLength(12);
  const more = screen.getByRole('link', { name: /^28 / });
  expect(more.getAttribute('href')).toContain('state%3Alive');
});

test('failure shows reason, pods, hint and retry', async () => {
  await page.show(<Page />);
  page.pushFrame(1, {
    nodes: [node('n1')],
    rows: [failed('redis', { attempt: 3, pods: [link('a'), link('b')] })],
  });
  expect(items()).toEqual(['failure']);
  // The image, the numbers of pods, nodes and attempts, and the server's hint.
  expect(item('failure')).toContain(FAILURE_TITLES.not_found);
  expect(item('failure')).toMatch(/redis1\.02 \D+\bshop\b\D+1 \D+3 \D+Check the tag$/);
  const left = () =>
    Number(/(\d+) s/.exec(find('[data-attention] [data-field="aside"]').textContent ?? '')?.[1]);
  const before = left();
  await page.advance(4_000);
  expect(before - left()).toBeGreaterThanOrEqual(3);
});

test('error message is rendered as plain text', async () => {
  await page.show(<Page />);
  const message = '<img src=x onerror=alert(1)> \u001b[31mred \u202egnp';
  page.pushFrame(1, { rows: [failed('a', { failure: { reason: 'registry_error', message } })] });
  const text = item('failure');
  expect(text).toContain('<img src=x onerror=alert(1)> \\x1b[31mred \\u202egnp');
  expect(find('[data-attention="failure"]').querySelector('img')).toBeNull();
});

test('stalled pulls and silent nodes need attention', async () => {
  await page.show(<Page />);
  page.pushFrame(1, {
    nodes: [
      node('n1', { live: 1 }),
      node('n8', { state: 'lost', lastReportAt: at(-180) }),
      node('n9', { state: 'conflict' }),
    ],
    rows: [on('n1', { stalledSince: at(-40) })],
  });
  expect(panel(REGION.attention).querySelector('[data-field="count"]')?.textContent).toBe('3');
  expect(items()).toEqual(['stalled', 'silent', 'conflict']);
  expect(item('stalled')).toMatch(/\bn141 s.*\bapp:1\.0$/);
  expect(item('silent')).toMatch(/^1 .*n8\b.* 3 m 0\d s$/);
  expect(item('conflict')).toMatch(/^n9\b/);
  // A stalled pull has no ETA.
  expect(find(`[data-group="${APP}"] [data-field="eta"]`).textContent).not.toMatch(/\d/);
});

test('node cells link and support arrow keys', async () => {
  await page.show(<Page />);
  page.pushFrame(1, {
    nodes: [node('w-1', { live: 1, bytesPerSec: 2048 }), node('w-2'), node('w-3', { state: 'lost' })],
    rows: [on('w-1', { nodeName: 'w-1', bytesPerSec: 2048 })],
  });
  const cells = [...document.querySelectorAll<HTMLElement>('[data-cell]')];
  expect(cells.map(({ dataset }) => [dataset.cell, dataset.state])).toEqual([
    ['w-1', 'pulling'],
    ['w-2', 'idle'],
    ['w-3', 'silent'],
  ]);
  // For screen readers: the name, then the number of pulls and their speed.
  expect(cells[0]?.textContent).toMatch(/^w-1\b.*\b1 \D+2\.00 KiB\/s$/);
  expect(cells[0]?.getAttribute('href')).toBe('#/nodes/w-1');
  expect(cells.map(({ tabIndex }) => tabIndex)).toEqual([0, -1, -1]);
  act(() => cells[0]?.focus());
  await page.user.keyboard('{ArrowRight}{ArrowRight}');
  expect(document.activeElement).toBe(cells[2]);
  expect(cells.map(({ tabIndex }) => tabIndex)).toEqual([-1, -1, 0]);
  await page.user.keyboard('{ArrowRight}');
  expect(document.activeElement).toBe(cells[2]);
});

test('finished panel lists recently ended pulls', async () => {
  await page.show(<Page />);
  page.pushFrame(1, {
    nodes: [node('n1')],
    rows: [
      ...Array.from({ length: 20 }, (_, index) => ended(`e${index}`, { completedAt: at(-60 - index) })),
      failed('bad', { completedAt: at(10), downloadedBytes: 512 }),
      ended('good', { completedAt: at(8), downloadedBytes: 16_384 }),
    ],
  });
  const rows = [...document.querySelectorAll<HTMLElement>('[data-ended]')];
  expect(rows).toHaveLength(12);
  expect(rows.slice(0, 2).map(({ dataset }) => dataset.state)).toEqual(['failed', 'completed']);
  expect(rows[0]?.textContent).toMatch(/bad1\.0n1512 B10\.0 s–/);
  expect(rows[1]?.textContent).toMatch(/good1\.0n116\.0 KiB8\.0 s2\.00 KiB\/s/);
  expect(
    within(rows[1] as HTMLElement)
      .getByRole('link')
      .getAttribute('href'),
  ).toBe('#/pulls/good');
});

test('throughput chart supports keys and units', async () => {
  page.answers['api/v1/server'] = server({ startedAt: at(-300) });
  await page.show(<Page />);
  page.pushFrame(1, { nodes: [node('n1')] });
  await page.advance(0);
  expect(find('[data-field="throughput"]').textContent).toBe('1.00 KiB/s');
  expect(panel(REGION.throughput).textContent).toContain('2.00 KiB/s');
  expect(panel(REGION.throughput).textContent).toContain('19:55');
  const slider = screen.getByRole('slider');
  const valueText = () => slider.getAttribute('aria-valuetext');
  fireEvent.keyDown(slider, { key: 'Home' });
  expect(valueText()).not.toMatch(/B\/s$/);
  fireEvent.keyDown(slider, { key: 'End' });
  fireEvent.keyDown(slider, { key: 'ArrowLeft' });
  expect(valueText()).toBe('20:00:02, 0 B/s');
  expect(find('[data-field="reading"]').textContent).toBe('0 B/s 20:00:02');
  fireEvent.keyDown(slider, { key: 'Escape' });
  expect(document.querySelector('[data-field="reading"]')).toBeNull();
  act(() => changeSettings({ units: 'bits' }));
  expect(panel(REGION.throughput).textContent).toContain('16.4 kbit/s');
});

test('disconnected page keeps values, marked as past', async () => {
  await page.show(<Page />);
  page.pushFrame(1, {
    nodes: [node('n1', { live: 1 })],
    rows: [on('n1', { percent: 40, downloadedBytes: 400 })],
  });
  page.rejectWith = new RequestError({ kind: 'unavailable', status: 503 });
  page.disconnect();
  await page.advance(4_000);
  expect(find(`[data-group="${APP}"]`).textContent).toContain('40 %');
  expect(find('main > div').className).toMatch(/past/);
});

test('long names and unknown words are shown unchanged', async () => {
  await page.show(<Page />);
  const name = 'a'.repeat(300);
  page.pushFrame(1, {
    nodes: [node(name, { live: 1 })],
    rows: [
      pull('long', {
        nodeName: name,
        imageRef: `r.example/${name}:${name.slice(0, 100)}`,
        bytesPerSec: 1,
        etaSeconds: 2,
      }),
      pull('later', { nodeName: name, phase: 'being_verified' as PullStatus['phase'] }),
      ended('odd', {
        outcome: 'swapped' as PullStatus['outcome'],
        phase: 'swapped' as PullStatus['phase'],
      } as object),
    ],
  });
  expect(find(`[data-group="r.example/${name}:${name.slice(0, 100)}"]`).textContent).toContain(name);
  expect(find('[data-ended="odd"]').textContent).toContain('swapped');
});
