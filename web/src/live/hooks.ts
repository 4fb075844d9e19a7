// The store and the stream, as components read them.

import { createContext, useContext, useMemo, useSyncExternalStore } from 'react';
import type { LayerStatus, NodeStatus, PullStatus, ServerStatus } from '../api/gen/wire';
import { shortName } from '../model/image';
import type { Live } from './live';
import type { Polled } from './poll';
import type { All, Sample, Sync } from './store';
import type { Connection } from './stream';

export const LiveContext = createContext<Live | undefined>(undefined);

export function useLive(): Live {
  const live = useContext(LiveContext);
  if (!live) throw new Error('outside of LiveContext');
  return live;
}

export function useRow(id: string): PullStatus | undefined {
  const { store } = useLive();
  return useSyncExternalStore(
    (listener) => store.onRow(id, listener),
    () => store.row(id),
  );
}

/** The short name of another pull; undefined where it is not known. */
export function useNameOf(id: string | undefined): string | undefined {
  const { store } = useLive();
  return useSyncExternalStore(
    (listener) => (id === undefined ? () => {} : store.onRow(id, listener)),
    () => {
      const row = id === undefined ? undefined : store.row(id);
      return row && shortName(row);
    },
  );
}

export function useNode(name: string): NodeStatus | undefined {
  const { store } = useLive();
  return useSyncExternalStore(
    (listener) => store.onNode(name, listener),
    () => store.node(name),
  );
}

/**
 * All rows and nodes, for what is worked out over them: another object when that is worth it, which with many rows is
 * once a second. A memo that depends on it is worked out as often.
 */
export function useAll(): All {
  const { store } = useLive();
  return useSyncExternalStore(store.onBeat, store.all);
}

/** The layers of a row in view; undefined until they are known. */
export function useLayers(id: string): readonly LayerStatus[] | undefined {
  const { layers } = useLive();
  const on = useMemo(() => (listener: () => void) => layers.on(id, listener), [layers, id]);
  return useSyncExternalStore(on, () => layers.of(id));
}

/** What the server says of itself; undefined until it was asked. */
export function useServer(): ServerStatus | undefined {
  const { server } = useLive();
  return useSyncExternalStore(server.on, server.state).value;
}

/** The answer at a path of the API, asked for again and again while the component is there. */
export function usePolled<T>(path: string, everyMs: number): Polled<T> {
  const live = useLive();
  const poll = useMemo(() => live.poll<T>(path, everyMs), [live, path, everyMs]);
  return useSyncExternalStore(poll.on, poll.state);
}

export function useSync(): Sync {
  const { store } = useLive();
  return useSyncExternalStore(store.onSync, store.sync);
}

/** Whether the reader holds the page, and how many rows have changed since. */
export function usePaused(): { paused: boolean; waiting: number } {
  const { store } = useLive();
  const paused = useSyncExternalStore(store.onSync, store.paused);
  const waiting = useSyncExternalStore(store.onSync, store.waiting);
  return { paused, waiting };
}

export function useSpeeds(): readonly Sample[] {
  const { store } = useLive();
  return useSyncExternalStore(store.onBeat, store.speeds);
}

export function useLastFailed(): PullStatus | undefined {
  const { store } = useLive();
  return useSyncExternalStore(store.onSync, store.lastFailed);
}

export function useConnection(): Connection {
  const { stream } = useLive();
  return useSyncExternalStore(stream.onConnection, stream.connection);
}

// One timer for all that shows an age.
const ticking = new Set<() => void>();
let timer: ReturnType<typeof setInterval> | undefined;
let tick = 0;

function onTick(listener: () => void): () => void {
  ticking.add(listener);
  timer ??= setInterval(() => {
    tick += 1;
    for (const each of ticking) each();
  }, 1_000);
  return () => {
    ticking.delete(listener);
    if (ticking.size > 0) return;
    clearInterval(timer);
    timer = undefined;
  };
}

/**
 * Draws the component again each second, and gives the server's clock, by which all times of the wire are. While the
 * page is cut off it stands still: what has become of a pull since then is not known.
 */
export function useNow(): number {
  const { store, stream } = useLive();
  useSyncExternalStore(onTick, () => tick);
  const heardAt = stream.connection().state === 'live' ? undefined : stream.heardAt();
  return store.now(heardAt);
}
