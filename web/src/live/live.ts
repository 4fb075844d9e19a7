// The page's data sources: store, stream and polls.

import type { ServerStatus } from '../api/gen/wire';
import { VisibleLayers } from './layers';
import { type Get, Poll } from './poll';
import { Store } from './store';
import { Stream, type StreamOptions } from './stream';

/** The server status rarely changes. */
const SERVER_POLL_MS = 10_000;

export interface LiveOptions extends StreamOptions {
  get: Get;
}

export class Live {
  readonly store = new Store();
  readonly stream: Stream;
  readonly layers: VisibleLayers;
  readonly server: Poll<ServerStatus>;
  readonly #get: Get;

  constructor(options: LiveOptions) {
    this.#get = options.get;
    this.stream = new Stream(this.store, options);
    this.layers = new VisibleLayers(options.get, this.stream, this.store.row);
    this.server = new Poll(options.get, this.stream, SERVER_POLL_MS, () => 'api/v1/server');
  }

  /** Creates a poll for data that only one page needs. */
  poll<T>(path: string, everyMs: number): Poll<T> {
    return new Poll<T>(this.#get, this.stream, everyMs, () => path);
  }
}
