import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { openEvents, RequestError } from '../../src/api/events';
import { HIDDEN_TIMEOUT_MS, SILENCE_TIMEOUT_MS, Stream, type StreamReceiver } from '../../src/live/stream';

type Controller = ReadableStreamDefaultController<Uint8Array<ArrayBuffer>>;

/** A server whose connections are controlled by the test. */
class FakeServer {
  requests: (string | undefined)[] = [];
  streams: Controller[] = [];
  rejectWith: RequestError | undefined;

  open = (since: string | undefined, signal: AbortSignal) => {
    this.requests.push(since);
    if (this.rejectWith) return Promise.reject(this.rejectWith);
    const body = new ReadableStream<Uint8Array<ArrayBuffer>>({
      start: (controller) => {
        this.streams.push(controller);
        signal.addEventListener('abort', () => controller.error(signal.reason));
      },
    });
    return Promise.resolve(body);
  };

  async send(bytes: Uint8Array<ArrayBuffer> | string): Promise<void> {
    this.streams.at(-1)?.enqueue(typeof bytes === 'string' ? new TextEncoder().encode(bytes) : bytes);
    await settle();
  }
}

const settle = () => vi.advanceTimersByTimeAsync(0);

let server: FakeServer;
let receiver: StreamReceiver & { resumeAt: string | undefined; events: string[]; snapshots: number };
let stream: Stream;

beforeEach(() => {
  vi.useFakeTimers();
  server = new FakeServer();
  receiver = {
    resumeAt: undefined,
    events: [],
    snapshots: 0,
    resumeId: () => receiver.resumeAt,
    beginSnapshot: () => {
      receiver.snapshots += 1;
    },
    connected: () => {},
    handleEvent: (event, data, id) => receiver.events.push(`${event} ${id} ${data}`),
  };
  stream = new Stream(receiver, { open: server.open, random: () => 1 });
});
afterEach(() => {
  stream.stop();
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

test('stream delivers events when a character is split', async () => {
  stream.start();
  await settle();
  expect(stream.connection().state).toBe('connecting');
  const bytes = new TextEncoder().encode('event: frame\nid: e-1\ndata: "ü"\n\n');
  const middle = bytes.indexOf(0xc3) + 1;
  await server.send(bytes.slice(0, middle));
  await server.send(bytes.slice(middle));
  expect(receiver.events).toEqual(['frame e-1 "ü"']);
  expect(stream.connection().state).toBe('live');
});

test('stream resumes when the connection ends', async () => {
  stream.start();
  await settle();
  await server.send('data: x\n\n');
  expect(receiver.snapshots).toBe(1);
  receiver.resumeAt = 'e-7';
  server.streams[0]?.close();
  await settle();
  expect(stream.connection()).toMatchObject({ state: 'lost', reason: { kind: 'ended' } });
  await vi.advanceTimersByTimeAsync(500);
  expect(server.requests).toEqual([undefined, 'e-7']);
  expect(receiver.snapshots).toBe(1);
  await server.send('data: x\n\n');
  expect(stream.connection().state).toBe('live');
});

test('stream backs off when the server is unreachable', async () => {
  server.rejectWith = new RequestError({ kind: 'unreachable' });
  stream.start();
  const tries: number[] = [];
  for (let second = 0; second < 60; second += 1) {
    await vi.advanceTimersByTimeAsync(1_000);
    tries.push(server.requests.length);
  }
  // After 0, 0.5, 1.5, 3.5, 7.5, 15.5 s, and then every 15 s.
  expect(tries[0]).toBe(2);
  expect(tries[9]).toBe(5);
  expect(tries[59]).toBe(8);
});

test('start retries without waiting', async () => {
  server.rejectWith = new RequestError({ kind: 'unreachable' });
  stream.start();
  await vi.advanceTimersByTimeAsync(20_000);
  const before = server.requests.length;
  server.rejectWith = undefined;
  stream.start();
  await settle();
  expect(server.requests.length).toBe(before + 1);
  await server.send(': hello\n\n');
  expect(stream.connection().state).toBe('live');
});

test('stream disconnects when the server is silent', async () => {
  stream.start();
  await settle();
  await server.send('event: ping\ndata: {}\n\n');
  await vi.advanceTimersByTimeAsync(SILENCE_TIMEOUT_MS - 1);
  expect(stream.connection().state).toBe('live');
  await vi.advanceTimersByTimeAsync(1);
  expect(stream.connection()).toMatchObject({ state: 'lost', reason: { kind: 'silent' } });
});

test('hidden page disconnects and reconnects when visible', async () => {
  stream.start();
  await settle();
  await server.send('data: x\n\n');
  stream.setVisible(false);
  await vi.advanceTimersByTimeAsync(HIDDEN_TIMEOUT_MS - 1);
  stream.setVisible(true);
  await vi.advanceTimersByTimeAsync(HIDDEN_TIMEOUT_MS / 2);
  await server.send('event: ping\ndata: {}\n\n');
  expect(stream.connection().state).toBe('live');

  stream.setVisible(false);
  for (let second = 0; second < 30; second += 5) {
    await server.send('event: ping\ndata: {}\n\n');
    await vi.advanceTimersByTimeAsync(5_000);
  }
  expect(stream.connection().state).toBe('resting');
  receiver.resumeAt = 'e-9';
  stream.setVisible(true);
  await settle();
  expect(server.requests.at(-1)).toBe('e-9');
});

test.each([
  [401, 'unauthorized'],
  [403, 'forbidden'],
  [503, 'unavailable'],
  [502, 'unavailable'],
  [404, 'not_found'],
])('status %i maps to a failure kind', async (status, kind) => {
  const problem = JSON.stringify({ status, title: 'No', detail: 'because', reason: 'x' });
  vi.stubGlobal('fetch', () => Promise.resolve(new Response(problem, { status })));
  const refused = await openEvents(undefined, new AbortController().signal).catch((error: unknown) => error);
  expect(refused).toBeInstanceOf(RequestError);
  expect((refused as RequestError).failure).toMatchObject(
    status === 401 ? { kind } : { kind, detail: 'because' },
  );
});

test('request carries the token when one is set', async () => {
  const fetched = vi.fn((_: string, init: RequestInit) => Promise.reject(new TypeError(`${init.method}`)));
  vi.stubGlobal('fetch', fetched);
  for (const token of [undefined, 's3cret']) {
    await openEvents(undefined, new AbortController().signal, token).catch(() => {});
  }
  const sent = fetched.mock.calls.map(([, init]) => new Headers(init.headers).get('authorization'));
  expect(sent).toEqual([null, 'Bearer s3cret']);
});

test('stream rejects a response that is not events', async () => {
  const page = new Response('<html>', { headers: { 'content-type': 'text/html' } });
  vi.stubGlobal('fetch', () => Promise.resolve(page));
  const refused = await openEvents(undefined, new AbortController().signal).catch((error: unknown) => error);
  expect((refused as RequestError).failure).toEqual({ kind: 'refused', status: 200 });
});

test('stream URL is relative and carries the position', async () => {
  const fetched = vi.fn(() => Promise.reject(new TypeError('fetch failed')));
  vi.stubGlobal('fetch', fetched);
  const refused = await openEvents('e1-12', new AbortController().signal).catch((error: unknown) => error);
  expect((refused as RequestError).failure).toEqual({ kind: 'unreachable' });
  expect(fetched).toHaveBeenCalledWith(
    'api/v1/events?format=frame&layers=none&since=e1-12',
    expect.objectContaining({ cache: 'no-store' }),
  );
});
