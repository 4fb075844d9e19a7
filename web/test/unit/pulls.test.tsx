import { act, fireEvent, screen, within } from '@testing-library/react';
import { Profiler } from 'react';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { FAILURE_TITLES } from '../../src/api/gen/failures';
import type { Phase, PullStatus, WaitingKind } from '../../src/api/gen/wire';
import { Row } from '../../src/pages/pulls/Row';
import { changeSettings } from '../../src/settings';
import { BUTTON, COLUMN, FIELD, LIST, OPTION } from '../names';
import { at, ended, layer, motion, node, pull } from './fixtures';
import { stubLayout, type TestPage, testPage } from './testPage';

let wide = 1440;
let page: TestPage;

beforeEach(() => {
  wide = 1440;
  stubLayout(() => wide);
  page = testPage();
});
afterEach(() => {
  page.close();
  vi.restoreAllMocks();
});

const show = async (hash = '#/pulls') => {
  window.location.hash = hash;
  await import('../../src/pages/pulls/Pulls');
  await page.show();
  await page.advance(10);
};

const row = (id: string): HTMLElement => {
  const found = document.querySelector<HTMLElement>(`[data-pull="${id}"]`);
  if (!found) throw new Error(`no row ${id}`);
  return found;
};
const order = (): string =>
  [...document.querySelectorAll<HTMLElement>('[data-pull]')].map(({ dataset }) => dataset.pull).join(' ');
const field = (id: string, name: string): string | null | undefined =>
  row(id).querySelector(`[data-field="${name}"]`)?.textContent;
const note = (id: string, kind: string) => row(id).querySelector(`[data-note="${kind}"]`)?.textContent;
const message = (name: string) => document.querySelector<HTMLElement>(`[data-message="${name}"]`);
const filterField = () => screen.getByLabelText<HTMLInputElement>(FIELD.filterPulls);
const table = () => document.querySelectorAll('[role="rowgroup"]')[1] as HTMLElement;
const counted = () => document.querySelector('[data-field="count"]')?.textContent;
const link = (podName: string, more = {}) => ({
  namespace: 'shop',
  podName,
  uid: podName,
  container: 'app',
  image: 'web:1.0',
  evidence: 'digest' as const,
  ...more,
});

test('500 frames for one pull render one row', async () => {
  const drawn = { a: 0, b: 0 };
  page.pushFrame(1, { rows: [pull('a'), pull('b')] });
  const columns = ['state', 'image', 'progress'] as const;
  await page.show(
    <>
      <Profiler id="a" onRender={() => (drawn.a += 1)}>
        <Row id="a" index={0} top={0} columns={columns} />
      </Profiler>
      <Profiler id="b" onRender={() => (drawn.b += 1)}>
        <Row id="b" index={1} top={40} columns={columns} />
      </Profiler>
    </>,
  );
  const before = { ...drawn };
  act(() => {
    for (let seq = 2; seq <= 501; seq += 1) {
      const frame = { seq, now: at(seq), up: [motion('a', { percent: seq / 10 })] };
      page.live.store.handleEvent('frame', JSON.stringify(frame), `e-${seq}`);
    }
    page.live.store.flush();
  });
  expect(drawn).toEqual({ a: before.a + 1, b: before.b });
  expect(field('a', 'percent')).toBe('50 %');
});

test('skeleton is shown before the first frame', async () => {
  await show();
  expect(message('loading')).toBeTruthy();
  expect(message('no-agents')).toBeNull();
});

test('empty server shows how to start an agent', async () => {
  await show();
  page.pushFrame(1);
  expect(message('no-agents')?.textContent).toMatch(/PULLTRACE_SERVER_URL=http\S* pulltrace-agent/);
});

test('idle cluster shows an empty state', async () => {
  await show();
  page.pushFrame(1, { nodes: [node('n1'), node('n2')] });
  expect(message('idle')?.textContent).toMatch(/2 /);
});

test('row shows figures, then layers once loaded', async () => {
  const web = pull('web', {
    percent: 61.9,
    downloadedBytes: 610,
    bytesPerSec: 2048,
    etaSeconds: 5,
    etaLowSeconds: 3,
    etaHighSeconds: 20,
    layerCount: 2,
    layersDone: 1,
    cachedBytes: 12,
  });
  const layers = [layer('a', { state: 'cached' }), layer('b', { downloadedBytes: 500 })];
  page.answers['api/v1/pulls'] = { pulls: [{ ...web, layers }] };
  await show();
  page.pushFrame(1, { rows: [web] });
  expect(field('web', 'percent')).toBe('61 %');
  expect(field('web', 'bytes')).toMatch(/^610 B\D+0\.98 KiB$/);
  expect(field('web', 'speed')).toBe('2.00 KiB/s');
  expect(field('web', 'eta')).toBe('~5 s');
  expect(row('web').querySelector('[data-field="eta"]')?.getAttribute('title')).toMatch(/^3 s\D+20 s$/);
  expect(row('web').textContent).toContain('1 / 2');
  const bar = () => within(row('web')).getByRole('progressbar', { name: /\bweb:1\.0$/ });
  expect(bar().getAttribute('aria-valuenow')).toBe('61');
  expect(bar().getAttribute('aria-valuetext')).toMatch(/^61 %, 610 B\D+0\.98 KiB, 12 B\b/);
  expect(row('web').querySelectorAll('[data-layer]')).toHaveLength(0);
  await page.advance(200);
  const states = [...row('web').querySelectorAll<HTMLElement>('[data-layer]')].map(
    (each) => each.dataset.state,
  );
  expect(states).toEqual(['cached', 'downloading']);
  expect(bar().getAttribute('aria-valuenow')).toBe('61');
});

test('unknown values are not shown as zero', async () => {
  await show();
  const unknown: Partial<PullStatus> = { phase: 'resolving', totalKnown: false };
  const { totalBytes, toDownloadBytes, downloadedBytes, imageRef, ...rest } = pull('x', unknown);
  page.pushFrame(1, { rows: [rest] });
  expect(field('x', 'image')).toMatch(/\S/);
  expect(field('x', 'bytes')).not.toMatch(/\d/);
  expect(row('x').textContent).not.toMatch(/\b0 %|100 %|0 B|undefined|NaN/);
  expect(within(row('x')).getByRole('progressbar').hasAttribute('aria-valuenow')).toBe(false);
});

test('stale pull shows no speed and no ETA', async () => {
  await show();
  page.pushFrame(1, {
    rows: [pull('a', { bytesPerSec: 9, etaSeconds: 9, percent: 50, staleSince: at(-40) })],
  });
  expect(row('a').dataset.state).toBe('unseen');
  expect(field('a', 'speed')).toBe('–');
  expect(field('a', 'eta')).toBe('–');
  expect(note('a', 'unseen')).toMatch(/\b41 s$/);
});

test('failed row shows reason, hint and retry', async () => {
  const message = '<b onclick="alert(1)">no</b> \u001b[31mspace';
  const failure = { reason: 'no_space', message, hint: 'free some', nextRetryAt: at(13) } as const;
  await show();
  page.pushFrame(1, { rows: [ended('a', { phase: 'failed', outcome: 'failed', failure, attempt: 2 })] });
  expect(row('a').dataset.state).toBe('failed');
  expect(field('a', 'reason')).toBe(
    `${FAILURE_TITLES.no_space}: <b onclick="alert(1)">no</b> \\x1b[31mspace`,
  );
  expect(field('a', 'hint')).toBe('free some');
  expect(field('a', 'took')).toMatch(/ 5\.0 s$/);
  expect(field('a', 'percent')).toBeUndefined();
  expect(field('a', 'attempt')).toMatch(/^2\D+$/);
  expect(field('a', 'retry')).toMatch(/ 1\d s$/);
  await page.advance(4_000);
  expect(field('a', 'retry')).toMatch(/ [78] s$/);
  // Every heading still has a cell, counting cells that span several columns.
  const cells = [...row('a').querySelectorAll('[role="cell"]')];
  const spans = cells.map((cell) => Number(cell.getAttribute('aria-colspan') ?? 1));
  expect(spans.reduce((sum, span) => sum + span, 0)).toBe(screen.getAllByRole('columnheader').length);
});

test('ended row shows duration, size, speed and age', async () => {
  await show();
  page.pushFrame(6, { rows: [ended('a', { downloadedBytes: 1000 })] });
  expect(row('a').dataset.state).toBe('completed');
  expect(field('a', 'took')).toMatch(/ 5\.0 s$/);
  expect(field('a', 'bytes')).toBe('0.98 KiB');
  expect(field('a', 'speed')).toBe('200 B/s');
  expect(row('a').querySelector('time')?.textContent).toMatch(/^1 s\b/);
});

test('row links to its pod and counts more', async () => {
  await show();
  page.pushFrame(1, { rows: [pull('web', { pods: ['a', 'b', 'c'].map((name) => link(name)) })] });
  expect(field('web', 'pod')).toBe('shop/a');
  expect(row('web').querySelector('[data-field="pod"]')?.getAttribute('href')).toBe('#/pods/shop/a');
  expect(within(row('web')).getByText('+2').getAttribute('title')).toBe(
    'shop/a · app\nshop/b · app\nshop/c · app',
  );
  page.pushFrame(2, { rows: [pull('web', { candidates: [link('a'), link('b')] })] });
  expect(field('web', 'candidates')).toMatch(/ shop\/a \D+ shop\/b$/);
});

test('queued row shows the pull ahead', async () => {
  await show();
  const waitingOn = { kind: 'kubelet_queue', since: at(0), pull: 'web', ahead: 3, etaSeconds: 70 } as const;
  page.pushFrame(1, { rows: [pull('db', { phase: 'queued', totalKnown: false, waitingOn })] });
  expect(note('db', 'queued')).toMatch(/\(~1 m 10 s\D+3 \D+$/);
  expect(field('db', 'bytes')).not.toMatch(/\d/);
  page.pushFrame(2, { rows: [pull('web', { percent: 61, etaSeconds: 41 })] });
  expect(note('db', 'queued')).toMatch(/ web:1\.0 \(61 %, ~40 s\D+3 \D+$/);
});

test('unknown words are shown unchanged', async () => {
  await show();
  const waitingOn = { kind: 'moon_phase' as WaitingKind, since: at(0) };
  page.pushFrame(1, { rows: [pull('a', { phase: 'being_verified' as Phase }), pull('b', { waitingOn })] });
  expect(field('a', 'state')).toBe('being verified');
  expect(note('b', 'waiting')).toContain('moon phase');
});

test('table renders visible rows and counts all', async () => {
  await show();
  page.pushFrame(1, { rows: Array.from({ length: 2_000 }, (_, i) => pull(`p${i}`, { startedAt: at(i) })) });
  await page.advance(1_100);
  expect(document.querySelectorAll('[data-pull]').length).toBeLessThan(40);
  expect(counted()).toBe('2,000');
  expect(screen.getByRole('table').getAttribute('aria-rowcount')).toBe('2001');
  expect(row('p0').getAttribute('aria-rowindex')).toBe('2');
});

test('filter is kept in the URL and cleared', async () => {
  await show('#/pulls?group=node');
  page.pushFrame(1, { rows: [pull('a'), pull('b', { nodeName: 'n2' })], nodes: [node('n1')] });
  await page.user.type(filterField(), 'node:n2');
  expect(window.location.hash).toBe('#/pulls?group=node');
  await page.advance(150);
  expect(window.location.hash).toBe('#/pulls?group=node&q=node%3An2');
  expect(order()).toBe('b');
  expect(counted()).toMatch(/^1 \D+ 2$/);
  await page.user.type(filterField(), 'x');
  await page.advance(150);
  expect(message('no-match')?.textContent).toContain('node:n2x');
  await page.user.click(within(message('no-match') as HTMLElement).getByRole('button'));
  await page.advance(150);
  expect(window.location.hash).toBe('#/pulls?group=node');
  expect(filterField().value).toBe('');
  expect(order()).toBe('a b');
});

test('typed text survives URL updates', async () => {
  await show();
  page.pushFrame(1, { rows: [pull('a')] });
  const input = filterField();
  fireEvent.change(input, { target: { value: 'a' } });
  await page.advance(119);
  fireEvent.change(input, { target: { value: 'ab' } });
  await page.advance(119);
  expect(input.value).toBe('ab');
  await page.advance(10);
  fireEvent.change(input, { target: { value: 'abc' } });
  await page.advance(10);
  expect(window.location.hash).toBe('#/pulls?q=ab');
  expect(input.value).toBe('abc');
  await page.navigate('#/pulls?q=other');
  await page.advance(300);
  expect(input.value).toBe('other');
  expect(window.location.hash).toBe('#/pulls?q=other');
});

test('unknown filter key is reported', async () => {
  await show('#/pulls?q=owner:me');
  page.pushFrame(1, { rows: [pull('a')] });
  expect(document.querySelector('[data-field="unknown-keys"]')?.textContent).toContain('owner:');
});

test('heading sorts and updates the URL', async () => {
  await show();
  page.pushFrame(1, { rows: [pull('a', { bytesPerSec: 1 }), pull('b', { bytesPerSec: 9 })] });
  const heading = () => screen.getByRole('columnheader', { name: COLUMN.speed });
  expect(heading().getAttribute('aria-sort')).toBeNull();
  await page.user.click(within(heading()).getByRole('button'));
  expect(window.location.hash).toBe('#/pulls?sort=-speed');
  expect(heading().getAttribute('aria-sort')).toBe('descending');
  expect(order()).toBe('b a');
  await page.user.click(within(heading()).getByRole('button'));
  expect(heading().getAttribute('aria-sort')).toBe('ascending');
  await page.user.click(within(heading()).getByRole('button'));
  expect(window.location.hash).toBe('#/pulls');
});

test('rows reorder once a second unless hovered', async () => {
  await show('#/pulls?sort=-speed');
  const speeds = (seq: number, a: number, b: number) =>
    page.pushFrame(seq, { rows: [pull('a', { bytesPerSec: a }), pull('b', { bytesPerSec: b })] });
  speeds(1, 2, 1);
  await page.advance(1_100);
  speeds(2, 2, 1);
  expect(order()).toBe('a b');
  speeds(3, 1, 2);
  expect(order()).toBe('a b');
  await page.advance(1_000);
  expect(order()).toBe('b a');
  fireEvent.pointerEnter(table(), { pointerType: 'mouse' });
  speeds(4, 9, 2);
  await page.advance(5_000);
  expect(order()).toBe('b a');
  fireEvent.pointerLeave(table());
  await page.advance(0);
  expect(order()).toBe('a b');
});

test('removed focused row releases the order', async () => {
  await show('#/pulls?sort=-speed');
  const speeds = (seq: number, a: number, b: number, rm: string[] = []) =>
    page.pushFrame(seq, { rows: [pull('a', { bytesPerSec: a }), pull('b', { bytesPerSec: b })], rm });
  page.pushFrame(1, { rows: [pull('c', { bytesPerSec: 9 })] });
  speeds(2, 2, 1);
  await page.advance(1_100);
  await page.user.keyboard('j');
  expect(document.activeElement?.closest('[data-pull="c"]')).toBeTruthy();
  speeds(3, 1, 2);
  await page.advance(3_000);
  expect(order()).toBe('c a b');
  speeds(4, 1, 2, ['c']);
  await page.advance(1_100);
  expect(order()).toBe('b a');
});

test('superseded row keeps its place and element', async () => {
  await show();
  page.pushFrame(1, { rows: [pull('a', { phase: 'queued' }), pull('b', { startedAt: at(1) })] });
  const before = row('a');
  page.pushFrame(2, { rows: [pull('a2', { supersedes: 'a' })], rm: ['a'] });
  expect(order()).toBe('a2 b');
  expect(row('a2')).toBe(before);
});

test('group heading shows sums', async () => {
  await show('#/pulls?group=namespace');
  page.pushFrame(1, {
    rows: [
      pull('a', { pods: [link('x')], downloadedBytes: 250, bytesPerSec: 1000, etaSeconds: 30 }),
      pull('b', { pods: [link('y')], downloadedBytes: 250, bytesPerSec: 500, etaSeconds: 5 }),
      pull('c'),
    ],
  });
  const heading = document.querySelector<HTMLElement>('[data-group="shop"]');
  expect(heading?.textContent).toMatch(/^shop2 \D+25 %500 B\D+1\.95 KiB1\.46 KiB\/s~30 s$/);
  expect(order()).toBe('a b c');
  await page.user.selectOptions(screen.getByLabelText(FIELD.group), OPTION.pod);
  expect(window.location.hash).toBe('#/pulls?group=pod');
  const pod = document.querySelector<HTMLElement>('[data-group="shop/x"]') as HTMLElement;
  expect(within(pod).getByRole('link', { name: 'shop/x' }).getAttribute('href')).toBe('#/pods/shop/x');
});

test('group collapses and expands', async () => {
  await show('#/pulls?group=node');
  page.pushFrame(1, { rows: [pull('a'), pull('b'), pull('c', { nodeName: 'n2' })] });
  const toggle = () => screen.getByRole('button', { name: / n1$/ });
  expect(toggle().getAttribute('aria-expanded')).toBe('true');
  await page.user.click(toggle());
  expect(toggle().getAttribute('aria-expanded')).toBe('false');
  expect(order()).toBe('c');
  expect(counted()).toBe('3');
  await page.user.click(toggle());
  expect(order()).toBe('a b c');
});

test('chosen columns are kept in the URL', async () => {
  await show();
  page.pushFrame(1, { rows: [pull('a')] });
  await page.user.click(screen.getByRole('button', { name: BUTTON.columns }));
  await page.user.click(screen.getByLabelText(COLUMN.speed));
  expect(window.location.hash).toBe('#/pulls?cols=node%2Cprogress%2Cbytes%2Ceta%2Clayers%2Cpods');
  expect(screen.queryByRole('columnheader', { name: COLUMN.speed })).toBeNull();
  await page.user.click(screen.getByLabelText(COLUMN.speed));
  expect(window.location.hash).toBe('#/pulls');
  await page.user.keyboard('{Escape}');
  expect(screen.queryByLabelText(COLUMN.speed)).toBeNull();
  expect(document.activeElement).toBe(screen.getByRole('button', { name: BUTTON.columns }));
});

test('export contains the filtered pulls', async () => {
  await show('#/pulls?q=node:n1');
  page.pushFrame(1, { rows: [pull('a'), pull('b', { nodeName: 'n2' }), ended('c')] });
  const blobs: Blob[] = [];
  const names: string[] = [];
  Object.assign(URL, {
    createObjectURL: (blob: Blob) => `blob:${blobs.push(blob)}`,
    revokeObjectURL: () => {},
  });
  vi.spyOn(HTMLAnchorElement.prototype, 'click').mockImplementation(function (this: HTMLAnchorElement) {
    names.push(this.download);
  });
  await page.user.click(screen.getByRole('button', { name: BUTTON.export }));
  await page.user.click(screen.getByRole('button', { name: BUTTON.json }));
  await page.user.click(screen.getByRole('button', { name: BUTTON.export }));
  await page.user.click(screen.getByRole('button', { name: BUTTON.csv }));
  expect(names).toEqual(['pulls.json', 'pulls.csv']);
  const [json, csv] = await Promise.all(blobs.map((blob) => blob.text()));
  expect(JSON.parse(json ?? '').pulls.map(({ id }: PullStatus) => id)).toEqual(['a', 'c']);
  expect(csv?.split('\r\n').map((line) => line.split(',')[0])).toEqual(['id', 'a', 'c', '']);
});

test('keyboard navigation restores focus after opening', async () => {
  await show('#/pulls?group=node');
  page.pushFrame(1, { rows: [pull('a'), pull('b'), pull('c', { nodeName: 'n2' })] });
  const at = () => document.activeElement?.closest<HTMLElement>('[data-pull]')?.dataset.pull;
  await page.user.keyboard('j');
  expect(at()).toBe('a');
  await page.user.keyboard('jj');
  expect(at()).toBe('c');
  await page.user.keyboard('kkk');
  expect(at()).toBe('a');
  await page.user.keyboard('j');
  const opened = document.activeElement?.getAttribute('href') ?? '';
  expect(opened).toBe('#/pulls/b');
  await import('../../src/pages/lazyPages');
  await page.navigate(opened);
  await page.advance(10);
  expect(screen.queryByRole('table', { name: LIST.pulls })).toBeNull();
  await page.navigate('#/pulls?group=node');
  await page.advance(10);
  expect(at()).toBe('b');
  // Typed characters are not shortcuts.
  filterField().focus();
  await page.user.keyboard('j');
  expect(document.activeElement).toBe(filterField());
});

test('focus stays when moved before returning', async () => {
  await show();
  page.pushFrame(1, { rows: [pull('a'), pull('b')] });
  await page.user.keyboard('j');
  const opened = document.activeElement?.getAttribute('href') ?? '';
  await import('../../src/pages/lazyPages');
  await page.navigate(opened);
  await page.advance(10);
  const elsewhere = screen.getByRole('button', { name: BUTTON.settings });
  elsewhere.focus();
  await page.navigate('#/pulls');
  await page.advance(10);
  expect(table()).toBeDefined();
  expect(document.activeElement).toBe(elsewhere);
});

test('unknown layer count is a dash', async () => {
  await show();
  page.pushFrame(1, { rows: [pull('a', { layerCount: 5 }), pull('b', { layerCount: 5, layersDone: 0 })] });
  const done = [...document.querySelectorAll('[data-pull]')].map(
    (row) => /[–\d] \/ 5/.exec(row.textContent ?? '')?.[0],
  );
  expect(done).toEqual(['– / 5', '0 / 5']);
});

test('narrow window shows cards, compact density lowers rows', async () => {
  wide = 390;
  await show();
  page.pushFrame(1, {
    rows: [pull('a', { percent: 5 }), ended('b', { phase: 'failed', outcome: 'failed' })],
  });
  expect(screen.queryByRole('table')).toBeNull();
  const cards = screen.getByRole('list', { name: LIST.pulls });
  expect(within(cards).getAllByRole('listitem')).toHaveLength(2);
  expect(field('a', 'percent')).toBe('5 %');
  expect(row('b').dataset.state).toBe('failed');
  expect(field('b', 'reason')).toBe(FAILURE_TITLES.unexplained);
  page.close();

  wide = 1440;
  page = testPage();
  await show();
  page.pushFrame(1, { rows: [pull('a'), pull('b')] });
  const height = () => table().style.getPropertyValue('--row-height');
  expect(height()).toBe('40px');
  act(() => changeSettings({ density: 'compact' }));
  expect(height()).toBe('28px');
});
