// A page under test: a store, a simulated server, and frames pushed by the test.

import { act, cleanup, render } from '@testing-library/react';
import userEvent, { type UserEvent } from '@testing-library/user-event';
import type { ReactNode } from 'react';
import { vi } from 'vitest';
import { App } from '../../src/App';
import { RequestError } from '../../src/api/events';
import { LiveContext } from '../../src/live/hooks';
import { Live } from '../../src/live/live';
import { changeSettings } from '../../src/settings';
import { at, frame } from './fixtures';

export interface TestPage {
  live: Live;
  user: UserEvent;
  /** API responses by path without the query. */
  answers: Record<string, unknown>;
  /** API of a story, for the paths that are not in `answers`. */
  serve: (path: string, query: URLSearchParams) => unknown;
  /** Error for stream requests from now on. */
  rejectWith: RequestError | undefined;
  /** Renders the app, or the given children, and starts the stream. */
  show: (children?: ReactNode) => Promise<void>;
  /** Pushes a frame and renders it. */
  pushFrame: (seq: number, more?: Parameters<typeof frame>[1]) => void;
  /** Ends the connection. */
  disconnect: () => void;
  advance: (ms: number) => Promise<void>;
  navigate: (hash: string) => Promise<void>;
  close: () => void;
}

/**
 * Gives elements a height, and media queries a window of this width: jsdom has no layout, without
 * which a virtual table has no rows.
 */
export function stubLayout(width: () => number): void {
  for (const size of ['offsetHeight', 'clientHeight']) {
    Object.defineProperty(HTMLElement.prototype, size, { configurable: true, get: () => 800 });
  }
  window.matchMedia = (query) =>
    Object.assign(new EventTarget(), {
      media: query,
      matches: width() >= Number(/\d+/.exec(query)?.[0]),
    }) as MediaQueryList;
}

/** jsdom does not implement dialogs. */
export function stubDialogs(): void {
  HTMLDialogElement.prototype.showModal = function () {
    this.open = true;
  };
  HTMLDialogElement.prototype.close = function () {
    this.open = false;
  };
}

/** Call before each test, at second 0 of the test clock. */
export function testPage(): TestPage {
  vi.useFakeTimers({ now: Date.parse(at(0)) });
  // After user events testing-library waits for a timer, which it advances only if it detects
  // jest's fake timers.
  vi.stubGlobal('jest', { advanceTimersByTime: vi.advanceTimersByTime });
  let closeStream = () => {};
  const live = new Live({
    open: (_since, _signal, token) =>
      page.rejectWith && token !== 's3cret'
        ? Promise.reject(page.rejectWith)
        : Promise.resolve(
            new ReadableStream({
              start: (controller) => {
                controller.enqueue(new TextEncoder().encode(': hello\n'));
                closeStream = () => controller.close();
              },
            }),
          ),
    get: (path) => {
      const [name = '', query] = path.split('?');
      const answer = page.answers[name] ?? page.serve(name, new URLSearchParams(query));
      return answer === undefined
        ? Promise.reject(new RequestError({ kind: 'not_found' }))
        : Promise.resolve(answer);
    },
    random: () => 1,
  });
  const advance = async (ms: number) => {
    await act(async () => {
      await vi.advanceTimersByTimeAsync(ms);
    });
  };
  const page: TestPage = {
    live,
    user: userEvent.setup({ advanceTimers: vi.advanceTimersByTime }),
    answers: {},
    serve: () => undefined,
    rejectWith: undefined,
    show: async (children = <App />) => {
      render(<LiveContext value={live}>{children}</LiveContext>);
      live.stream.start();
      await advance(0);
    },
    pushFrame: (seq, more = {}) => {
      act(() => {
        live.store.handleEvent('frame', frame(seq, more), `e-${seq}`);
        live.store.handleEvent('snapshot-end', '{}', `e-${seq}`);
        live.store.flush();
      });
    },
    disconnect: () => closeStream(),
    advance,
    navigate: async (hash) => {
      window.location.hash = hash;
      await advance(0);
    },
    close: () => {
      live.stream.stop();
      cleanup();
      vi.useRealTimers();
      vi.unstubAllGlobals();
      window.location.hash = '';
      changeSettings({ theme: 'auto', density: 'comfortable', units: 'iec', zone: 'utc' });
      localStorage.clear();
    },
  };
  return page;
}
