// Keeps one event stream open: resumes after a disconnect, backs off, detects silence, and
// disconnects while the page is hidden.

import { type ByteStream, RequestError, type RequestFailure } from '../api/events';
import { bufferedLength, INITIAL_STATE, parseChunk, type SseEvent } from './sse';

/** The server sends an event at least every 5 s. */
export const SILENCE_TIMEOUT_MS = 15_000;
/** A hidden page closes its connection after this time. */
export const HIDDEN_TIMEOUT_MS = 30_000;
const MIN_BACKOFF_MS = 500;
const MAX_BACKOFF_MS = 15_000;
/** A pulltrace server sends no larger events. */
const MAX_EVENT_CHARS = 64 * 1024 * 1024;

export type DisconnectReason = RequestFailure | { kind: 'silent' | 'ended' | 'broken' };

export type Connection =
  | { state: 'connecting' }
  | { state: 'live' }
  | { state: 'lost'; reason: DisconnectReason; since: number; retryAt: number }
  | { state: 'resting' };

export interface StreamReceiver {
  /** The event id to resume from; undefined to request a snapshot. */
  resumeId(): string | undefined;
  /** A snapshot follows. */
  beginSnapshot(): void;
  connected(): void;
  handleEvent(event: string, data: string, id: string): void;
}

export interface StreamOptions {
  open: (since: string | undefined, signal: AbortSignal, token: string | undefined) => Promise<ByteStream>;
  /** Between 0 and 1. */
  random: () => number;
}

export class Stream {
  #receiver: StreamReceiver;
  #options: StreamOptions;
  #connection: Connection = { state: 'connecting' };
  #lastReceivedAt: number | undefined;
  #listeners = new Set<() => void>();
  #token: string | undefined;
  #controller: AbortController | undefined;
  #failedAttempts = 0;
  #retryTimer: ReturnType<typeof setTimeout> | undefined;
  #hiddenTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(receiver: StreamReceiver, options: StreamOptions) {
    this.#receiver = receiver;
    this.#options = options;
  }

  connection = (): Connection => this.#connection;
  /** The token that the user entered; polls send it too. */
  token = (): string | undefined => this.#token;
  /** Time of the last received data, by the local clock. */
  lastReceivedAt = (): number | undefined => this.#lastReceivedAt;
  onConnection = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  /** Connects, or retries immediately. */
  start = (): void => {
    clearTimeout(this.#retryTimer);
    if (this.#controller) return;
    const controller = new AbortController();
    this.#controller = controller;
    void this.#run(controller);
  };

  /** Sets the token and reconnects. The token is kept in memory only. */
  setToken(token: string): void {
    this.#token = token;
    this.start();
  }

  stop(): void {
    clearTimeout(this.#retryTimer);
    clearTimeout(this.#hiddenTimer);
    this.#controller?.abort();
    this.#controller = undefined;
  }

  /** Reports whether the page is visible. */
  setVisible(visible: boolean): void {
    clearTimeout(this.#hiddenTimer);
    if (visible) {
      if (this.#connection.state === 'resting') {
        this.#setConnection({ state: 'connecting' });
        this.start();
      }
      return;
    }
    this.#hiddenTimer = setTimeout(() => {
      this.stop();
      this.#setConnection({ state: 'resting' });
    }, HIDDEN_TIMEOUT_MS);
  }

  async #run(controller: AbortController): Promise<void> {
    const reason = await this.#readStream(controller).catch((error: unknown): DisconnectReason => {
      return error instanceof RequestError ? error.failure : { kind: 'broken' };
    });
    // Stopped by the caller, which sets the new state.
    if (this.#controller !== controller) return;
    this.#controller = undefined;
    controller.abort();
    const wait =
      Math.min(MAX_BACKOFF_MS, MIN_BACKOFF_MS * 2 ** this.#failedAttempts) *
      (0.5 + this.#options.random() / 2);
    this.#failedAttempts += 1;
    const before = this.#connection;
    const since = before.state === 'lost' ? before.since : Date.now();
    this.#setConnection({ state: 'lost', reason, since, retryAt: Date.now() + wait });
    this.#retryTimer = setTimeout(this.start, wait);
  }

  /** Reads until the stream ends, and returns the reason. */
  async #readStream(controller: AbortController): Promise<DisconnectReason> {
    let silent = false;
    const onSilence = () => {
      silent = true;
      controller.abort();
    };
    let watchdog = setTimeout(onSilence, SILENCE_TIMEOUT_MS);
    try {
      const since = this.#receiver.resumeId();
      const body = await this.#options.open(since, controller.signal, this.#token);
      this.#receiver.connected();
      if (since === undefined) this.#receiver.beginSnapshot();
      const reader = body.getReader();
      const decoder = new TextDecoder();
      let parser = INITIAL_STATE;
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return { kind: 'ended' };
        clearTimeout(watchdog);
        watchdog = setTimeout(onSilence, SILENCE_TIMEOUT_MS);
        let events: SseEvent[];
        [parser, events] = parseChunk(parser, decoder.decode(value, { stream: true }));
        if (this.#controller !== controller) return { kind: 'ended' };
        this.#onData();
        for (const { event, data, id } of events) this.#receiver.handleEvent(event, data, id);
        if (bufferedLength(parser) > MAX_EVENT_CHARS) return { kind: 'broken' };
      }
    } catch (error) {
      if (silent) return { kind: 'silent' };
      throw error;
    } finally {
      clearTimeout(watchdog);
    }
  }

  #onData(): void {
    this.#lastReceivedAt = Date.now();
    this.#failedAttempts = 0;
    if (this.#connection.state !== 'live') this.#setConnection({ state: 'live' });
  }

  #setConnection(connection: Connection): void {
    this.#connection = connection;
    for (const listener of this.#listeners) listener();
  }
}
