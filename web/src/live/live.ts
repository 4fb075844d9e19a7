// All that the page hears of the server, and from where.

import type { ServerStatus } from '../api/gen/wire';
import { Layers } from './layers';
import { type Get, Poll } from './poll';
import { Store } from './store';
import { Stream, type Surroundings } from './stream';

/** The server says of itself what seldom changes. */
const SERVER_EVERY_MS = 10_000;

export interface Around extends Surroundings {
  get: Get;
}

export class Live {
  readonly store = new Store();
  readonly stream: Stream;
  readonly layers: Layers;
  readonly server: Poll<ServerStatus>;
  readonly #get: Get;

  constructor(around: Around) {
    this.#get = around.get;
    this.stream = new Stream(this.store, around);
    this.layers = new Layers(around.get, this.stream, this.store.row);
    this.server = new Poll(around.get, this.stream, SERVER_EVERY_MS, () => 'api/v1/server');
  }

  /** Asks for something of one page alone. */
  poll<T>(path: string, everyMs: number): Poll<T> {
    return new Poll<T>(this.#get, this.stream, everyMs, () => path);
  }
}
