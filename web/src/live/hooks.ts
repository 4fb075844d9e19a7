// The store and the stream, as components read them.

import { createContext, useContext, useState, useSyncExternalStore } from 'react';
import type { NodeStatus, PullStatus } from '../api/gen/wire';
import { shortName } from '../model/image';
import type { NodeOutline, Totals } from '../model/outline';
import type { Sample, Store, Sync } from './store';
import type { Connection, Stream } from './stream';

export interface Live {
  store: Store;
  stream: Stream;
}

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

/** Whether a row is open, where somebody chose that; it stays so under the row's next id. */
export function useOpen(id: string): [open: boolean | undefined, choose: (open: boolean) => void] {
  const { lines } = useLive().store;
  const [open, setOpen] = useState(() => lines.open(id));
  const choose = (next: boolean) => {
    lines.choose(id, next);
    setOpen(next);
  };
  return [open, choose];
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

export function useOutline(): readonly NodeOutline[] {
  const { store } = useLive();
  return useSyncExternalStore(store.onList, store.outline);
}

export function useTotals(): Totals {
  const { store } = useLive();
  return useSyncExternalStore(store.onList, store.totals);
}

export function useSync(): Sync {
  const { store } = useLive();
  return useSyncExternalStore(store.onList, store.sync);
}

export function useSpeeds(): readonly Sample[] {
  const { store } = useLive();
  return useSyncExternalStore(store.onList, store.speeds);
}

export function useLastFailed(): PullStatus | undefined {
  const { store } = useLive();
  return useSyncExternalStore(store.onList, store.lastFailed);
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
