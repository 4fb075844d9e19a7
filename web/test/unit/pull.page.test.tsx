import { act, screen, within } from '@testing-library/react';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { FAILURE_TITLES } from '../../src/api/gen/failures';
import type { LayerStatus, PullStatus } from '../../src/api/gen/wire';
import { podsUnavailable } from '../../src/model/pod';
import { BUTTON, REGION } from '../names';
import { at, ended, layer, node, pull } from './fixtures';
import { type TestPage, testPage } from './testPage';

let page: TestPage;
beforeEach(() => {
  page = testPage();
});
afterEach(() => page.close());

/** Opens the page of the first row; the API serves it with these layers. */
async function show(rows: PullStatus[], layers: LayerStatus[] = [], id = rows[0]?.id ?? 'p'): Promise<void> {
  page.answers['api/v1/pulls'] = { pulls: rows.slice(0, 1).map((row) => ({ ...row, layers })) };
  window.location.hash = `#/pulls/${encodeURIComponent(id)}`;
  await import('../../src/pages/lazyPages');
  await page.show();
  page.pushFrame(1, { nodes: [node('n1')], rows });
  await page.advance(300);
}
const link = (podName: string) => ({
  namespace: 'shop',
  podName,
  uid: podName,
  container: 'app',
  image: 'i',
});
const detail = (): HTMLElement => {
  const found = document.querySelector<HTMLElement>('[data-pull]');
  if (!found) throw new Error('no pull is shown');
  return found;
};
const field = (name: string) => detail().querySelector(`[data-field="${name}"]`)?.textContent;
const note = (kind: string) => detail().querySelector(`[data-note="${kind}"]`);
const message = (name: string) => document.querySelector(`[data-message="${name}"]`);

test('page shows the figures of a pull', async () => {
  const row = pull('a', {
    percent: 61.9,
    downloadedBytes: 610,
    cachedBytes: 50,
    bytesPerSec: 2048,
    etaSeconds: 5,
    etaLowSeconds: 3,
    etaHighSeconds: 20,
    layerCount: 4,
    layersDone: 1,
    queuedAt: at(-7),
    downloadingAt: at(0),
    attempt: 2,
  });
  await show([row]);
  expect(screen.getByRole('heading', { level: 1 }).textContent).toBe('registry.example/team/a1.0');
  expect(field('percent')).toBe('61 %');
  expect(field('bytes')).toMatch(/^610 B\D+0\.98 KiB\D+50 B\D*$/);
  expect(field('eta')).toBe('~5 s');
  expect(field('speed')).toBe('2.00 KiB/s');
  expect(field('attempt')).toMatch(/^2\D+$/);
  // The range of the ETA with the remaining time of the download, the layers, and the time in the queue.
  for (const part of [/\D3 s\D+20 s\D+< 1 s/, /\D1 \D+4/, /\b7\.0 s/]) {
    expect(detail().textContent).toMatch(part);
  }
  expect(within(detail()).getByRole('link', { name: 'n1' }).getAttribute('href')).toBe('#/nodes/n1');
});

test('layers share one axis and have descriptions', async () => {
  const row = pull('a', { downloadingAt: at(-10), startedAt: at(-11), etaSeconds: 10, layerCount: 3 });
  await show(
    [row],
    [
      layer('a', { state: 'cached' }),
      layer('b', { createdBy: 'RUN make', startedAt: at(-9), downloadedBytes: 500, bytesPerSec: 100 }),
      layer('c', {
        state: 'waiting',
        downloadedBytes: 900,
        waitingOn: { kind: 'shared_layer', since: at(-5), pull: 'other', layer: 'sha256:c' },
      }),
    ],
  );
  const rows = [...detail().querySelectorAll<HTMLElement>('[data-layer]')];
  expect(rows.map((each) => each.dataset.state)).toEqual(['cached', 'downloading', 'waiting']);
  expect(rows[1]?.textContent).toContain('RUN make');
  // The label, then the description for screen readers.
  expect(rows[1]?.textContent).toMatch(/50 % 100 B\/s.*\b1\.0 s.*\b50 %.*\b100 B\/s/);
  const link = rows[2] && within(rows[2]).getByRole('link');
  expect(link?.getAttribute('href')).toBe('#/pulls/other');
  // The marker of the current time moves without new frames.
  const now = () => detail().querySelector<HTMLElement>('[style*="--now"]')?.style.getPropertyValue('--now');
  const before = Number(now());
  await page.advance(2_000);
  expect(Number(now())).toBeGreaterThan(before);
});

test('failure shows title, hint, message and retry', async () => {
  const error = 'rpc error: \u001b[31m<b>not found</b>\u001b[0m\nsecond line';
  const failure = {
    reason: 'not_found',
    message: error,
    hint: 'look at the name',
    nextRetryAt: at(40),
  } as const;
  const pods = [{ namespace: 'shop', podName: 'web-0', uid: 'u', container: 'app', image: 'i' }];
  await show([ended('a', { phase: 'failed', outcome: 'failed', failure, pods, attempt: 3 })]);
  expect(field('reason')).toBe(FAILURE_TITLES.not_found);
  expect(field('hint')).toBe('look at the name');
  expect(field('said')).toBe('rpc error: \\x1b[31m<b>not found</b>\\x1b[0m\nsecond line');
  expect(detail().querySelector('[data-field="said"] *')).toBeNull();
  expect(field('retry')).toMatch(/\b39 s$/);
  expect(screen.getByRole('region', { name: REGION.failure }).textContent).toMatch(/3rd\D+39 s/);
  expect(detail().textContent).toContain('crictl pull registry.example/team/a:1.0');
  const copy = vi.spyOn(navigator.clipboard, 'writeText').mockResolvedValue();
  await page.user.click(screen.getByRole('button', { name: BUTTON.copyError }));
  expect(copy).toHaveBeenCalledWith(error);
});

test('ended pull shows the duration the kubelet measured', async () => {
  await show([ended('a', { kubelet: { pullSeconds: 14.2, agrees: false } })]);
  expect(field('took')).toBe('5.0 s');
  expect(field('kubelet')).toBe('14.2 s');
  expect(field('disagrees')).toContain('5.0 s');
});

test('side panels show pods, peers and node queue', async () => {
  const same = { manifestDigest: 'sha256:f' };
  await show([
    pull('a', { ...same, pods: [{ ...link('web'), evidence: 'event' }], candidates: [link('perhaps')] }),
    pull('b', { ...same, nodeName: 'n2', bytesPerSec: 2048 }),
    ended('c', { ...same, nodeName: 'n3' }),
    pull('d', { phase: 'queued', waitingOn: { kind: 'kubelet_queue', since: at(0), pull: 'a', ahead: 1 } }),
  ]);
  const pods = screen.getByRole('region', { name: REGION.waitingPods });
  expect(within(pods).getByRole('link', { name: 'web' }).getAttribute('href')).toBe('#/pods/shop/web');
  expect(pods.querySelector<HTMLElement>('[data-evidence]')?.dataset.evidence).toBe('event');
  expect(pods.querySelector('[data-field="candidates"]')?.textContent).toMatch(/^perhaps/);
  const peers = screen.getByRole('region', { name: REGION.peers });
  const count = (panel: HTMLElement) => panel.querySelector('[data-field="count"]')?.textContent;
  // One of two is ready.
  expect(count(peers)).toMatch(/^1 \D+2\b/);
  expect(peers.textContent).toMatch(/n1.*n22\.00 KiB\/s.*n3/);
  const queue = screen.getByRole('region', { name: REGION.nodeQueue });
  // One is running and one queued.
  expect(count(queue)).toMatch(/^1 \D+1 \D+$/);
  expect(queue.textContent).toMatch(/a:1\.0.*d:1\.0.*#1$/);
});

test('pull of unknown pods names the cause', async () => {
  const cluster = { pods: 'odd', events: 'live', podsReason: 'expected a list' } as const;
  page.answers['api/v1/server'] = { cluster };
  await show([pull('a', { pods: [] })]);
  const pods = screen.getByRole('region', { name: REGION.waitingPods });
  expect(pods.textContent).toContain(podsUnavailable(cluster));
});

test('short wait is less than a second', async () => {
  await show([pull('a', { startedAt: at(0.5), pods: [link('web')] })]);
  expect(detail().textContent).not.toMatch(/≥ </);
});

test('queued pull links to the pull ahead', async () => {
  await show([
    pull('a', {
      phase: 'queued',
      totalKnown: false,
      waitingOn: { kind: 'kubelet_queue', since: at(0), pull: 'b', ahead: 3, etaSeconds: 12 },
    }),
    pull('b', { percent: 40, etaSeconds: 9 }),
  ]);
  expect(note('queued')?.querySelector('a')?.getAttribute('href')).toBe('#/pulls/b');
  expect(note('queued')?.textContent).toMatch(/b:1\.0 \(40 %, ~9 s\D+3 \D+$/);
  expect(detail().textContent).toContain('~12 s');
});

test('removed pull stays visible with a message', async () => {
  await show([pull('a', { percent: 61 })]);
  page.pushFrame(2, { rm: ['a'] });
  expect(note('gone')).toBeTruthy();
  expect(field('percent')).toBe('61 %');
});

test('superseded pull redirects and shows the last failure', async () => {
  const failed = ended('a', { phase: 'failed', outcome: 'failed', failure: { reason: 'dns' } });
  await show([failed]);
  page.pushFrame(2, { rows: [pull('b', { supersedes: 'a', attempt: 2 })] });
  await page.advance(100);
  expect(window.location.hash).toBe('#/pulls/b');
  expect(detail().dataset.pull).toBe('b');
  expect(note('gone')).toBeNull();
  expect(note('previous-failure')?.textContent).toContain(FAILURE_TITLES.dns);
});

test('unknown id is reported after the snapshot', async () => {
  window.location.hash = '#/pulls/none';
  await import('../../src/pages/lazyPages');
  await page.show();
  expect(message('no-pull')).toBeNull();
  page.pushFrame(1);
  expect(message('no-pull')).toBeTruthy();
});

test('list is expanded when printing', async () => {
  const pods = Array.from({ length: 20 }, (_, index) => ({
    namespace: 'shop',
    podName: `web-${index}`,
    uid: `${index}`,
    container: 'app',
    image: 'i',
  }));
  await show([pull('a', { pods })]);
  const shown = () => detail().querySelectorAll('[data-field="pod"]').length;
  expect(shown()).toBe(8);
  act(() => void window.dispatchEvent(new Event('beforeprint')));
  expect(shown()).toBe(20);
  const waiting = within(screen.getByRole('region', { name: REGION.waitingPods }));
  expect(waiting.queryByRole('button')).toBeNull();
  act(() => void window.dispatchEvent(new Event('afterprint')));
  expect(shown()).toBe(8);
});
