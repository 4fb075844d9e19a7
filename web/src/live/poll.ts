// Asks for one thing again and again, for what the stream does not tell. It rests while the stream does.

import { type Refusal, Refused } from '../api/events';

export type Get = (path: string, signal: AbortSignal, token?: string) => Promise<unknown>;

/** The last answer, and why there is no newer one. */
export interface Polled<T> {
  value?: T;
  refusal?: Refusal;
}

/** What a poll needs to know of the stream. */
export interface Beside {
  connection: () => { state: string };
  onConnection: (listener: () => void) => () => void;
  token: () => string | undefined;
}

export class Poll<T> {
  #get: Get;
  #beside: Beside;
  #ask: () => string | undefined;
  #everyMs: number;
  #state: Polled<T> = {};
  #listeners = new Set<() => void>();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #asking: AbortController | undefined;
  #quit: (() => void) | undefined;

  /** `ask`: the path; undefined where nothing is to be asked this time. */
  constructor(get: Get, beside: Beside, everyMs: number, ask: () => string | undefined) {
    this.#get = get;
    this.#beside = beside;
    this.#everyMs = everyMs;
    this.#ask = ask;
  }

  state = (): Polled<T> => this.#state;

  /** Asks for as long as anybody listens. */
  on = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    if (this.#quit === undefined) {
      this.#quit = this.#beside.onConnection(this.#connection);
      this.now();
    }
    return () => {
      this.#listeners.delete(listener);
      if (this.#listeners.size > 0) return;
      this.#quit?.();
      this.#quit = undefined;
      this.#rest();
    };
  };

  #connection = (): void => {
    if (this.#beside.connection().state === 'live') {
      if (this.#asking === undefined && this.#timer === undefined) this.now();
    } else this.#rest();
  };

  #rest(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#asking?.abort();
    this.#asking = undefined;
  }

  /** Asks now, and from now on. */
  now = (): void => {
    this.#rest();
    if (this.#quit === undefined || this.#beside.connection().state !== 'live') return;
    const path = this.#ask();
    if (path === undefined) {
      this.#timer = setTimeout(this.now, this.#everyMs);
      return;
    }
    const asking = new AbortController();
    this.#asking = asking;
    void this.#get(path, asking.signal, this.#beside.token())
      .then((value): Polled<T> => ({ value: value as T }))
      .catch((error: unknown): Polled<T> => {
        const refusal: Refusal = error instanceof Refused ? error.refusal : { kind: 'unreachable' };
        return { ...this.#state, refusal };
      })
      .then((state) => {
        // Whoever stopped it, asks again.
        if (this.#asking !== asking) return;
        this.#asking = undefined;
        this.#timer = setTimeout(this.now, this.#everyMs);
        this.#state = state;
        for (const listener of this.#listeners) listener();
      });
  };
}
