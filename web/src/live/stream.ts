// Keeps one stream open: goes on where it was cut, backs off, notices silence, rests while nobody looks.

import { type Body, type Refusal, Refused } from '../api/events';
import { NOTHING, parse, type SseEvent, waiting } from './sse';

/** The server says something each 5 s. */
export const SILENCE_MS = 15_000;
/** A page that nobody looks at gives its connection back. */
export const HIDDEN_MS = 30_000;
const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 15_000;
/** No event is larger: a server that says more is not ours. */
const EVENT_LIMIT = 64 * 1024 * 1024;

export type Loss = Refusal | { kind: 'silent' | 'ended' | 'broken' };

export type Connection =
  | { state: 'connecting' }
  | { state: 'live' }
  | { state: 'lost'; loss: Loss; since: number; retryAt: number }
  | { state: 'resting' };

export interface Receiver {
  /** Where to go on; undefined for a snapshot. */
  position(): string | undefined;
  /** A snapshot follows. */
  begin(): void;
  connected(): void;
  event(event: string, data: string, id: string): void;
}

export interface Surroundings {
  open: (since: string | undefined, signal: AbortSignal, token: string | undefined) => Promise<Body>;
  /** 0 to 1. */
  random: () => number;
}

export class Stream {
  #receiver: Receiver;
  #around: Surroundings;
  #connection: Connection = { state: 'connecting' };
  #heardAt: number | undefined;
  #listeners = new Set<() => void>();
  #token: string | undefined;
  #running: AbortController | undefined;
  #losses = 0;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #hidden: ReturnType<typeof setTimeout> | undefined;

  constructor(receiver: Receiver, around: Surroundings) {
    this.#receiver = receiver;
    this.#around = around;
  }

  connection = (): Connection => this.#connection;
  /** What somebody entered; for the other requests of the page. */
  token = (): string | undefined => this.#token;
  /** When the server was last heard, by this machine's clock. */
  heardAt = (): number | undefined => this.#heardAt;
  onConnection = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  /** Begins, or tries again at once. */
  start = (): void => {
    clearTimeout(this.#retry);
    if (this.#running) return;
    const running = new AbortController();
    this.#running = running;
    void this.#run(running);
  };

  /** Tries again with a token. It is kept here only, and gone with the page. */
  enter(token: string): void {
    this.#token = token;
    this.start();
  }

  stop(): void {
    clearTimeout(this.#retry);
    clearTimeout(this.#hidden);
    this.#running?.abort();
    this.#running = undefined;
  }

  /** Whether anybody looks at the page. */
  visible(is: boolean): void {
    clearTimeout(this.#hidden);
    if (is) {
      if (this.#connection.state === 'resting') {
        this.#say({ state: 'connecting' });
        this.start();
      }
      return;
    }
    this.#hidden = setTimeout(() => {
      this.stop();
      this.#say({ state: 'resting' });
    }, HIDDEN_MS);
  }

  async #run(running: AbortController): Promise<void> {
    const loss = await this.#follow(running).catch((error: unknown): Loss => {
      return error instanceof Refused ? error.refusal : { kind: 'broken' };
    });
    // Stopped from outside: whoever stopped it says what is now.
    if (this.#running !== running) return;
    this.#running = undefined;
    running.abort();
    const wait =
      Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** this.#losses) * (0.5 + this.#around.random() / 2);
    this.#losses += 1;
    const before = this.#connection;
    const since = before.state === 'lost' ? before.since : Date.now();
    this.#say({ state: 'lost', loss, since, retryAt: Date.now() + wait });
    this.#retry = setTimeout(this.start, wait);
  }

  /** Until the stream is over, for a reason. */
  async #follow(running: AbortController): Promise<Loss> {
    let silent = false;
    const give = () => {
      silent = true;
      running.abort();
    };
    let watchdog = setTimeout(give, SILENCE_MS);
    try {
      const since = this.#receiver.position();
      const body = await this.#around.open(since, running.signal, this.#token);
      this.#receiver.connected();
      if (since === undefined) this.#receiver.begin();
      const reader = body.getReader();
      const decoder = new TextDecoder();
      let pending = NOTHING;
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return { kind: 'ended' };
        clearTimeout(watchdog);
        watchdog = setTimeout(give, SILENCE_MS);
        let events: SseEvent[];
        [pending, events] = parse(pending, decoder.decode(value, { stream: true }));
        if (this.#running !== running) return { kind: 'ended' };
        this.#heard();
        for (const { event, data, id } of events) this.#receiver.event(event, data, id);
        if (waiting(pending) > EVENT_LIMIT) return { kind: 'broken' };
      }
    } catch (error) {
      if (silent) return { kind: 'silent' };
      throw error;
    } finally {
      clearTimeout(watchdog);
    }
  }

  #heard(): void {
    this.#heardAt = Date.now();
    this.#losses = 0;
    if (this.#connection.state !== 'live') this.#say({ state: 'live' });
  }

  #say(connection: Connection): void {
    this.#connection = connection;
    for (const listener of this.#listeners) listener();
  }
}
