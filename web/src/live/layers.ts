// Layers of visible rows. The stream omits them: most rows are not visible, and agents report
// layers once per second. The page polls them for its visible rows in one request per second while
// they change.

import type { LayerStatus, PullList, PullStatus } from '../api/gen/wire';
import { isLive } from '../model/pull';
import { parseRow } from './frame';
import { type Get, Poll, type StreamStatus } from './poll';

const POLL_MS = 1_000;
/**
 * Ids per request; gateways reject URLs longer than 8 KiB. With more visible rows, requests take
 * turns.
 */
export const MAX_IDS = 40;

interface LayerSubscription {
  subscribers: number;
  /** Number of the last request that included this row. */
  lastRequest: number;
  /** The row as of the last response. Ended rows are not requested again. */
  fetchedRow?: PullStatus | undefined;
  layers?: readonly LayerStatus[];
  listeners: Set<() => void>;
}

export class VisibleLayers {
  #rowById: (id: string) => PullStatus | undefined;
  #subscriptions = new Map<string, LayerSubscription>();
  #poll: Poll<PullList>;
  #unsubscribe: (() => void) | undefined;
  #batchTimer: ReturnType<typeof setTimeout> | undefined;
  #requests = 0;

  constructor(get: Get, stream: StreamStatus, row: (id: string) => PullStatus | undefined) {
    this.#rowById = row;
    this.#poll = new Poll(get, stream, POLL_MS, () => this.#path());
  }

  /** Returns the layers of a visible row; undefined if unknown or not loaded yet. */
  get = (id: string): readonly LayerStatus[] | undefined => this.#subscriptions.get(id)?.layers;

  /** Marks a row as visible until the returned function is called. */
  subscribe = (id: string, listener: () => void): (() => void) => {
    const subscription = this.#subscriptions.get(id) ?? {
      subscribers: 0,
      lastRequest: 0,
      listeners: new Set(),
    };
    subscription.subscribers += 1;
    subscription.listeners.add(listener);
    this.#subscriptions.set(id, subscription);
    if (subscription.layers === undefined) this.#scheduleRequest();
    this.#unsubscribe ??= this.#poll.subscribe(this.#onAnswer);
    return () => {
      subscription.subscribers -= 1;
      subscription.listeners.delete(listener);
      if (subscription.subscribers > 0) return;
      this.#subscriptions.delete(id);
      if (this.#subscriptions.size > 0) return;
      clearTimeout(this.#batchTimer);
      this.#batchTimer = undefined;
      this.#unsubscribe?.();
      this.#unsubscribe = undefined;
    };
  };

  /** Rows become visible together, so their requests are batched. */
  #scheduleRequest(): void {
    this.#batchTimer ??= setTimeout(() => {
      this.#batchTimer = undefined;
      this.#poll.requestNow();
    }, 50);
  }

  #path(): string | undefined {
    if (this.#batchTimer !== undefined) return undefined;
    const due = [...this.#subscriptions].filter(([id, subscription]) => {
      const row = this.#rowById(id);
      // There are no layers before the manifest is known.
      if (row?.layerCount === undefined) return false;
      return (
        subscription.fetchedRow === undefined ||
        isLive(subscription.fetchedRow) ||
        row !== subscription.fetchedRow
      );
    });
    if (due.length === 0) return undefined;
    this.#requests += 1;
    const next = due.sort(([, a], [, b]) => a.lastRequest - b.lastRequest).slice(0, MAX_IDS);
    for (const [, subscription] of next) subscription.lastRequest = this.#requests;
    const ids = next.map(([id]) => encodeURIComponent(id));
    return `api/v1/pulls?layers=embed&id=${ids.join(',')}`;
  }

  #onAnswer = (): void => {
    const pulls: unknown = this.#poll.result().value?.pulls;
    if (!Array.isArray(pulls)) return;
    for (const each of pulls) {
      const pull = parseRow(each)?.row;
      const subscription = pull && this.#subscriptions.get(pull.id);
      if (pull === undefined || subscription === undefined) continue;
      subscription.fetchedRow = isLive(pull) ? pull : this.#rowById(pull.id);
      subscription.layers = pull.layers ?? [];
      for (const listener of subscription.listeners) listener();
    }
  };
}
