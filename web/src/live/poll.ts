// Polls an API path for data that is not in the stream. Pauses while the stream is disconnected.

import { RequestError, type RequestFailure } from '../api/events';

export type Get = (path: string, signal: AbortSignal, token?: string) => Promise<unknown>;

/** The last successful response, and the failure since then, if any. */
export interface PollResult<T> {
  value?: T;
  failure?: RequestFailure;
}

/** The parts of the stream that a poll depends on. */
export interface StreamStatus {
  connection: () => { state: string };
  onConnection: (listener: () => void) => () => void;
  token: () => string | undefined;
}

export class Poll<T> {
  #get: Get;
  #stream: StreamStatus;
  #nextPath: () => string | undefined;
  #everyMs: number;
  #result: PollResult<T> = {};
  #listeners = new Set<() => void>();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #inFlight: AbortController | undefined;
  #unsubscribe: (() => void) | undefined;

  /** `nextPath` returns the path to request, or undefined to skip this round. */
  constructor(get: Get, stream: StreamStatus, everyMs: number, nextPath: () => string | undefined) {
    this.#get = get;
    this.#stream = stream;
    this.#everyMs = everyMs;
    this.#nextPath = nextPath;
  }

  result = (): PollResult<T> => this.#result;

  /** Polls while there are subscribers. */
  subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    if (this.#unsubscribe === undefined) {
      this.#unsubscribe = this.#stream.onConnection(this.#onConnectionChange);
      this.requestNow();
    }
    return () => {
      this.#listeners.delete(listener);
      if (this.#listeners.size > 0) return;
      this.#unsubscribe?.();
      this.#unsubscribe = undefined;
      this.#pause();
    };
  };

  #onConnectionChange = (): void => {
    if (this.#stream.connection().state === 'live') {
      if (this.#inFlight === undefined && this.#timer === undefined) this.requestNow();
    } else this.#pause();
  };

  #pause(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#inFlight?.abort();
    this.#inFlight = undefined;
  }

  /** Requests immediately, and periodically from then on. */
  requestNow = (): void => {
    this.#pause();
    if (this.#unsubscribe === undefined || this.#stream.connection().state !== 'live') return;
    const path = this.#nextPath();
    if (path === undefined) {
      this.#timer = setTimeout(this.requestNow, this.#everyMs);
      return;
    }
    const controller = new AbortController();
    this.#inFlight = controller;
    void this.#get(path, controller.signal, this.#stream.token())
      .then((value): PollResult<T> => ({ value: value as T }))
      .catch((error: unknown): PollResult<T> => {
        const failure: RequestFailure =
          error instanceof RequestError ? error.failure : { kind: 'unreachable' };
        return { ...this.#result, failure };
      })
      .then((result) => {
        // A pause or a newer request replaced this one.
        if (this.#inFlight !== controller) return;
        this.#inFlight = undefined;
        this.#timer = setTimeout(this.requestNow, this.#everyMs);
        this.#result = result;
        for (const listener of this.#listeners) listener();
      });
  };
}
