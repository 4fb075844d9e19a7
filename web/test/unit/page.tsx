// A page in a test: the store that it shows, a server that says what the test wants, and a frame at a time.

import { act, cleanup, render } from '@testing-library/react';
import userEvent, { type UserEvent } from '@testing-library/user-event';
import type { ReactNode } from 'react';
import { vi } from 'vitest';
import { App } from '../../src/App';
import { Refused } from '../../src/api/events';
import { LiveContext } from '../../src/live/hooks';
import { Live } from '../../src/live/live';
import { changeSettings } from '../../src/settings';
import { at, frame } from './some';

export interface TestPage {
  live: Live;
  user: UserEvent;
  /** What the server answers, by path without the query. */
  answers: Record<string, unknown>;
  /** What refuses the stream from now on. */
  refuse: Refused | undefined;
  /** Draws the app, or something else of the page, and starts the stream. */
  show: (children?: ReactNode) => Promise<void>;
  /** A frame comes, and is drawn. */
  say: (seq: number, more?: Parameters<typeof frame>[1]) => void;
  /** The connection ends. */
  cut: () => void;
  pass: (ms: number) => Promise<void>;
  go: (hash: string) => Promise<void>;
  close: () => void;
}

/** To be called before each test, at second 0 of the tests' clock. */
export function testPage(): TestPage {
  vi.useFakeTimers({ now: Date.parse(at(0)) });
  // After each deed of a user testing-library waits by a timer, which it winds on only where it takes it for jest's.
  vi.stubGlobal('jest', { advanceTimersByTime: vi.advanceTimersByTime });
  let end = () => {};
  const live = new Live({
    open: (_since, _signal, token) =>
      page.refuse && token !== 's3cret'
        ? Promise.reject(page.refuse)
        : Promise.resolve(
            new ReadableStream({
              start: (controller) => {
                controller.enqueue(new TextEncoder().encode(': hello\n'));
                end = () => controller.close();
              },
            }),
          ),
    get: (path) => {
      const answer = page.answers[path.split('?')[0] ?? ''];
      return answer === undefined
        ? Promise.reject(new Refused({ kind: 'not_found' }))
        : Promise.resolve(answer);
    },
    random: () => 1,
  });
  const pass = async (ms: number) => {
    await act(async () => {
      await vi.advanceTimersByTimeAsync(ms);
    });
  };
  const page: TestPage = {
    live,
    user: userEvent.setup({ advanceTimers: vi.advanceTimersByTime }),
    answers: {},
    refuse: undefined,
    show: async (children = <App />) => {
      render(<LiveContext value={live}>{children}</LiveContext>);
      live.stream.start();
      await pass(0);
    },
    say: (seq, more = {}) => {
      act(() => {
        live.store.event('frame', frame(seq, more), `e-${seq}`);
        live.store.event('snapshot-end', '{}', `e-${seq}`);
        live.store.flush();
      });
    },
    cut: () => end(),
    pass,
    go: async (hash) => {
      window.location.hash = hash;
      await pass(0);
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
