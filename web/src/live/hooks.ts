// React hooks over the store and the stream.

import { createContext, useContext, useMemo, useSyncExternalStore } from 'react';
import type { LayerStatus, NodeStatus, PullStatus, ServerStatus } from '../api/gen/wire';
import { shortName } from '../model/image';
import type { Live } from './live';
import type { PollResult } from './poll';
import type { Dataset, SyncState, ThroughputSample } from './store';
import type { Connection } from './stream';

export const LiveContext = createContext<Live | undefined>(undefined);

export function useLive(): Live {
  const live = useContext(LiveContext);
  if (!live) throw new Error('used outside of LiveContext');
  return live;
}

export function useRow(id: string): PullStatus | undefined {
  const { store } = useLive();
  return useSyncExternalStore(
    (listener) => store.onRow(id, listener),
    () => store.row(id),
  );
}

/** Returns the short name of another pull; undefined if it is unknown. */
export function usePullName(id: string | undefined): string | undefined {
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
 * Returns all rows and nodes, for aggregates. The object changes only when aggregates should be
 * recomputed: with many rows that is once per second. Memoize on it.
 */
export function useDataset(): Dataset {
  const { store } = useLive();
  return useSyncExternalStore(store.onDataset, store.dataset);
}

/** Returns the layers of a visible row; undefined until they are loaded. */
export function useLayers(id: string): readonly LayerStatus[] | undefined {
  const { layers } = useLive();
  const subscribe = useMemo(() => (listener: () => void) => layers.subscribe(id, listener), [layers, id]);
  return useSyncExternalStore(subscribe, () => layers.get(id));
}

/** Returns the server's status; undefined until the first response. */
export function useServer(): ServerStatus | undefined {
  const { server } = useLive();
  return useSyncExternalStore(server.subscribe, server.result).value;
}

/** Polls an API path while the component is mounted. */
export function usePolled<T>(path: string, everyMs: number): PollResult<T> {
  const live = useLive();
  const poll = useMemo(() => live.poll<T>(path, everyMs), [live, path, everyMs]);
  return useSyncExternalStore(poll.subscribe, poll.result);
}

export function useSyncState(): SyncState {
  const { store } = useLive();
  return useSyncExternalStore(store.onSyncState, store.syncState);
}

/** Returns whether the user paused the page, and how many rows have changed since. */
export function usePaused(): { paused: boolean; pendingChanges: number } {
  const { store } = useLive();
  const paused = useSyncExternalStore(store.onSyncState, store.paused);
  const pendingChanges = useSyncExternalStore(store.onSyncState, store.pendingChanges);
  return { paused, pendingChanges };
}

export function useThroughputSamples(): readonly ThroughputSample[] {
  const { store } = useLive();
  return useSyncExternalStore(store.onDataset, store.throughputSamples);
}

export function useLastFailed(): PullStatus | undefined {
  const { store } = useLive();
  return useSyncExternalStore(store.onSyncState, store.lastFailed);
}

export function useConnection(): Connection {
  const { stream } = useLive();
  return useSyncExternalStore(stream.onConnection, stream.connection);
}

// One timer for all components that show an age.
const tickListeners = new Set<() => void>();
let timer: ReturnType<typeof setInterval> | undefined;
let tick = 0;

function subscribeTick(listener: () => void): () => void {
  tickListeners.add(listener);
  timer ??= setInterval(() => {
    tick += 1;
    for (const each of tickListeners) each();
  }, 1_000);
  return () => {
    tickListeners.delete(listener);
    if (tickListeners.size > 0) return;
    clearInterval(timer);
    timer = undefined;
  };
}

/**
 * Rerenders the component every second and returns the server's clock, which all times on the wire
 * use. The clock stops while the page is disconnected, since the state of pulls is unknown from
 * then on.
 */
export function useNow(): number {
  const { store, stream } = useLive();
  useSyncExternalStore(subscribeTick, () => tick);
  const lastReceivedAt = stream.connection().state === 'live' ? undefined : stream.lastReceivedAt();
  return store.serverNow(lastReceivedAt);
}
