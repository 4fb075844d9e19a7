import { act, cleanup, render, screen, within } from '@testing-library/react';
import userEvent from '@testing-library/user-event';
import { Profiler } from 'react';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { App } from '../../src/App';
import { Refused } from '../../src/api/events';
import type { LayerState, Phase, WaitingKind } from '../../src/api/gen/wire';
import { LiveContext } from '../../src/live/hooks';
import { Store } from '../../src/live/store';
import { Stream } from '../../src/live/stream';
import { ErrorBoundary } from '../../src/ui/ErrorBoundary';
import { PullRow } from '../../src/ui/PullRow';
import { at, ended, frame, layer, motion, node, pull } from './some';

let store: Store;
let stream: Stream;
let refuse: Refused | undefined;
let cut: () => void;

beforeEach(() => {
  vi.useFakeTimers({ shouldAdvanceTime: true, now: Date.parse(at(0)) });
  store = new Store();
  refuse = undefined;
  stream = new Stream(store, {
    open: (_since, _signal, token) =>
      refuse && token !== 's3cret'
        ? Promise.reject(refuse)
        : Promise.resolve(
            new ReadableStream({
              start: (controller) => {
                controller.enqueue(new TextEncoder().encode(': hello\n'));
                cut = () => controller.close();
              },
            }),
          ),
    random: () => 1,
  });
});
afterEach(() => {
  stream.stop();
  cleanup();
  vi.useRealTimers();
});

const live = (children = <App />) => <LiveContext value={{ store, stream }}>{children}</LiveContext>;

function Broken(): never {
  throw new Error('this one');
}

/** A frame comes, and is drawn. */
function say(seq: number, more: Parameters<typeof frame>[1]): void {
  act(() => {
    store.event('frame', frame(seq, more), `e-${seq}`);
    store.event('snapshot-end', '{}', `e-${seq}`);
    store.flush();
  });
}

const row = (id: string): HTMLElement => {
  const found = document.querySelector<HTMLElement>(`[data-pull="${id}"]`);
  if (!found) throw new Error(`no row ${id}`);
  return found;
};

test('five hundred frames for one pull draw that row and no other', () => {
  const drawn = { a: 0, b: 0 };
  say(1, { rows: [pull('a'), pull('b')] });
  render(
    live(
      <ul>
        <Profiler id="a" onRender={() => (drawn.a += 1)}>
          <PullRow id="a" open={false} />
        </Profiler>
        <Profiler id="b" onRender={() => (drawn.b += 1)}>
          <PullRow id="b" open={false} />
        </Profiler>
      </ul>,
    ),
  );
  act(() => {
    for (let seq = 2; seq <= 501; seq += 1) {
      store.event('frame', frame(seq, { up: [motion('a', { percent: seq / 10 })] }), `e-${seq}`);
    }
    store.flush();
  });
  expect(drawn).toEqual({ a: 2, b: 1 });
  expect(within(row('a')).getByText('50 %')).toBeTruthy();
});

test('nothing but a frame of the page is there before the server was heard', () => {
  render(live());
  expect(screen.getByText('Connecting')).toBeTruthy();
  expect(document.querySelector('[data-message="loading"]')).toBeTruthy();
  expect(screen.queryByText('No agent has reported yet')).toBeNull();
});

test('a server without agents says how to start one', () => {
  render(live());
  say(1, {});
  expect(screen.getByText('No agent has reported yet')).toBeTruthy();
  expect(screen.getByText(/PULLTRACE_SERVER_URL=http.* pulltrace-agent/)).toBeTruthy();
});

test('nodes without pulls say that nothing is being pulled', () => {
  render(live());
  say(1, { nodes: [node('n1'), node('n2')] });
  expect(screen.getByText('Nothing is being pulled')).toBeTruthy();
  expect(screen.getByText(/^2 nodes are watched/)).toBeTruthy();
});

test('a pull shows its figures, and its layers until somebody closes them', async () => {
  render(live());
  const layers = [
    layer('a', { state: 'cached' }),
    layer('b', { createdBy: 'RUN make', downloadedBytes: 500, bytesPerSec: 2048 }),
  ];
  say(1, {
    nodes: [node('n1', { live: 1 })],
    rows: [
      pull('web', {
        percent: 61.9,
        downloadedBytes: 610,
        bytesPerSec: 2048,
        etaSeconds: 5,
        etaLowSeconds: 3,
        etaHighSeconds: 20,
        layers,
      }),
    ],
  });
  const text = row('web').textContent;
  for (const part of ['web', '1.0', '61 %', '610 B of 0.98 KiB', '2.00 KiB/s', '~5 s left', '3 s to 20 s']) {
    expect(text).toContain(part);
  }
  const bar = within(row('web')).getByRole('progressbar', { name: 'Pull of web:1.0' });
  expect(bar.getAttribute('aria-valuenow')).toBe('61');
  expect(bar.getAttribute('aria-valuetext')).toBe('61 %, 610 B of 0.98 KiB');
  expect(text).toContain('RUN make');
  expect(text).toContain('downloading · 50 % · 2.00 KiB/s');
  expect(text).toContain('on the node');

  const toggle = within(row('web')).getByRole('button', { name: 'Details of web:1.0' });
  expect(toggle.getAttribute('aria-expanded')).toBe('true');
  toggle.focus();
  await userEvent.setup({ advanceTimers: vi.advanceTimersByTime }).keyboard('{Enter}');
  expect(toggle.getAttribute('aria-expanded')).toBe('false');
  expect(row('web').textContent).not.toContain('RUN make');
});

test('what is not known is shown as not known', () => {
  render(live());
  const unknown: Partial<ReturnType<typeof pull>> = { phase: 'resolving', totalKnown: false };
  const { totalBytes, toDownloadBytes, downloadedBytes, imageRef, ...rest } = pull('x', unknown);
  say(1, { rows: [rest] });
  expect(row('x').textContent).toContain('Image not known yet');
  expect(row('x').textContent).toContain('size not known yet');
  expect(row('x').textContent).not.toMatch(/\b0 %|100 %|0 B/);
  expect(within(row('x')).getByRole('progressbar').hasAttribute('aria-valuenow')).toBe(false);
});

test('a failure is shown with its reason as text, and told once', () => {
  render(live());
  say(1, { rows: [pull('a')] });
  const message = '<b onclick="alert(1)">no</b> \u001b[31mspace';
  say(2, {
    rows: [ended('a', { phase: 'failed', outcome: 'failed', failure: { reason: 'no_space', message } })],
  });
  act(() => {
    vi.advanceTimersByTime(10);
  });
  expect(within(row('a')).getByText('Failed')).toBeTruthy();
  expect(row('a').textContent).toContain(`no space left on the node: ${message}`);
  expect(row('a').textContent).toContain('after 5.0 s');
  expect(screen.getByRole('status').textContent).toContain('The pull of a:1.0 on n1 failed');
});

test('a row names its pods, and all of them when asked', async () => {
  render(live());
  const pods = ['a', 'b', 'c', 'd'].map((podName) => ({
    namespace: 'shop',
    podName,
    uid: podName,
    container: 'app',
    image: 'web:1.0',
    evidence: 'digest' as const,
  }));
  say(1, { nodes: [node('n1', { live: 1 })], rows: [pull('web', { pods, attempt: 3 })] });
  expect(row('web').textContent).toContain('shop/a · app');
  expect(row('web').textContent).toContain('3rd try');
  expect(row('web').textContent).not.toContain('shop/c');
  await userEvent
    .setup({ advanceTimers: vi.advanceTimersByTime })
    .click(within(row('web')).getByRole('button', { name: '+2 more' }));
  expect(within(row('web')).getByText('shop/d · app')).toBeTruthy();
  expect(
    within(row('web')).getAllByText('the pod names the image by the digest that is pulled'),
  ).toHaveLength(4);
});

test('a queued pull says behind what, how far that is, and how many come before it', () => {
  render(live());
  const waitingOn = { kind: 'kubelet_queue', since: at(0), pull: 'web', ahead: 3, etaSeconds: 70 } as const;
  const queued = pull('db', { phase: 'queued', totalKnown: false, waitingOn });
  say(1, { nodes: [node('n1', { live: 2 })], rows: [queued] });
  expect(row('db').textContent).toContain('queued by the kubelet (~1 m 10 s left), 3 before it');
  say(2, { rows: [pull('web', { percent: 61, etaSeconds: 41 })] });
  expect(row('db').textContent).toContain(
    'queued behind registry.example/team/web:1.0 (61 %, ~40 s left), 3 before it',
  );
  expect(within(row('db')).getByText('Queued')).toBeTruthy();
  expect(document.querySelector('[data-node-card] header')?.textContent).toContain('1 pulling1 queued');
});

test('what failed says when it is tried again, and counts down', async () => {
  render(live());
  stream.start();
  await act(() => vi.advanceTimersByTimeAsync(0));
  const failure = {
    reason: 'dns',
    message: 'no such host',
    hint: 'look at the name',
    nextRetryAt: at(13),
  } as const;
  say(1, { rows: [ended('a', { phase: 'failed', outcome: 'failed', failure, attempt: 2 })] });
  expect(row('a').textContent).toContain('2nd tryagain in 12 s');
  expect(row('a').textContent).toContain('the name of the registry has no address: no such host');
  expect(row('a').textContent).toContain('look at the name');
  await act(() => vi.advanceTimersByTimeAsync(4_000));
  expect(row('a').textContent).toMatch(/again in [78] s/);
});

test('a lost connection says which, how old the figures are, and what comes next', async () => {
  render(live());
  stream.start();
  await act(() => vi.advanceTimersByTimeAsync(0));
  say(1, { rows: [pull('a', { percent: 40 })] });
  expect(screen.getByText('Live')).toBeTruthy();
  refuse = new Refused({ kind: 'unavailable', status: 503, detail: 'too many readers' });
  cut();
  await act(() => vi.advanceTimersByTimeAsync(4_000));
  expect(
    screen.getByText(/cannot serve the page now \(503\).*too many readers.*Next try in \d+ s/),
  ).toBeTruthy();
  expect(screen.getByText('Reconnecting')).toBeTruthy();
  expect(within(row('a')).getByText('40 %')).toBeTruthy();
  expect(screen.getByRole('status').textContent).toContain('503');
  // Nobody knows what has become of it since.
  const elapsed = () => /(\S+ s) so far/.exec(row('a').textContent ?? '')?.[1];
  const before = elapsed();
  await act(() => vi.advanceTimersByTimeAsync(20_000));
  expect(elapsed()).toBe(before);
});

test('a server that wants a token asks for it, and says when it does not know it', async () => {
  refuse = new Refused({ kind: 'unauthorized' });
  render(live());
  stream.start();
  await act(() => vi.advanceTimersByTimeAsync(0));
  const user = userEvent.setup({ advanceTimers: vi.advanceTimersByTime });
  await user.type(screen.getByLabelText('The server asks for a token (401).'), 'wrong{Enter}');
  const field = screen.getByLabelText('The server does not know this token (401).');
  await user.clear(field);
  await user.type(field, 's3cret{Enter}');
  await act(() => vi.advanceTimersByTimeAsync(0));
  expect(screen.getByText('Live')).toBeTruthy();
  expect(screen.queryByRole('region', { name: 'Connection' })).toBeNull();
  expect(JSON.stringify({ ...localStorage })).not.toContain('s3cret');
});

test('before anything was heard there are no zeros', () => {
  render(live());
  expect(screen.getByLabelText('In sum').textContent).not.toMatch(/\d/);
  say(1, {});
  expect(screen.getByLabelText('In sum').textContent).toMatch(/Pulling0/);
});

test('a node with many ended pulls shows the last of them, and all when asked', async () => {
  render(live());
  const rows = Array.from({ length: 200 }, (_, i) => ended(`p${i}`, { completedAt: at(i) }));
  say(1, { nodes: [node('n1', { ended: 200 })], rows });
  expect(document.querySelectorAll('[data-pull]')).toHaveLength(50);
  expect(document.querySelector<HTMLElement>('[data-pull]')?.dataset.pull).toBe('p199');
  const more = screen.getByRole('button', { name: 'Show all 200 ended pulls' });
  await userEvent.setup({ advanceTimers: vi.advanceTimersByTime }).click(more);
  expect(document.querySelectorAll('[data-pull]')).toHaveLength(200);
});

test('a word, a layer state and a waiting kind of a newer server are shown as they are', () => {
  render(live());
  say(1, {
    rows: [
      pull('a', {
        phase: 'being_verified' as Phase,
        layers: [
          layer('a', {
            state: 'being_hashed' as LayerState,
            waitingOn: { kind: 'moon_phase' as WaitingKind, since: at(0) },
          }),
        ],
      }),
    ],
  });
  expect(row('a').textContent).toContain('being verified');
  expect(row('a').textContent).toContain('being hashed');
  expect(row('a').textContent).toContain('waiting for moon phase');
});

test('a theme is kept, and left to the system at first', async () => {
  render(live());
  const user = userEvent.setup({ advanceTimers: vi.advanceTimersByTime });
  expect(document.documentElement.dataset.theme).toBeUndefined();
  await user.click(screen.getByRole('button', { name: /^Theme: as the system/ }));
  expect(document.documentElement.dataset.theme).toBe('light');
  expect(localStorage.getItem('pulltrace.theme')).toBe('light');
  await user.click(screen.getByRole('button', { name: /^Theme: light/ }));
  await user.click(screen.getByRole('button', { name: /^Theme: dark/ }));
  expect(document.documentElement.dataset.theme).toBeUndefined();
});

test('a fault in drawing says so instead of a blank page', () => {
  vi.spyOn(console, 'error').mockImplementation(() => {});
  render(
    <ErrorBoundary>
      <Broken />
    </ErrorBoundary>,
  );
  expect(screen.getByText('This page has a fault')).toBeTruthy();
  expect(screen.getByText('Error: this one')).toBeTruthy();
  vi.restoreAllMocks();
});
