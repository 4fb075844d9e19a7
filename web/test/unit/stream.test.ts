import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { openEvents, Refused } from '../../src/api/events';
import { HIDDEN_MS, type Receiver, SILENCE_MS, Stream } from '../../src/live/stream';

type Controller = ReadableStreamDefaultController<Uint8Array<ArrayBuffer>>;

/** A server of which each connection is in the test's hand. */
class Server {
  asked: (string | undefined)[] = [];
  streams: Controller[] = [];
  refuse: Refused | undefined;

  open = (since: string | undefined, signal: AbortSignal) => {
    this.asked.push(since);
    if (this.refuse) return Promise.reject(this.refuse);
    const body = new ReadableStream<Uint8Array<ArrayBuffer>>({
      start: (controller) => {
        this.streams.push(controller);
        signal.addEventListener('abort', () => controller.error(signal.reason));
      },
    });
    return Promise.resolve(body);
  };

  async say(bytes: Uint8Array<ArrayBuffer> | string): Promise<void> {
    this.streams.at(-1)?.enqueue(typeof bytes === 'string' ? new TextEncoder().encode(bytes) : bytes);
    await settle();
  }
}

const settle = () => vi.advanceTimersByTimeAsync(0);

let server: Server;
let receiver: Receiver & { at: string | undefined; events: string[]; begun: number };
let stream: Stream;

beforeEach(() => {
  vi.useFakeTimers();
  server = new Server();
  receiver = {
    at: undefined,
    events: [],
    begun: 0,
    position: () => receiver.at,
    begin: () => {
      receiver.begun += 1;
    },
    connected: () => {},
    event: (event, data, id) => receiver.events.push(`${event} ${id} ${data}`),
  };
  stream = new Stream(receiver, { open: server.open, random: () => 1 });
});
afterEach(() => {
  stream.stop();
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

test('events come through, also where a letter is cut in two', async () => {
  stream.start();
  await settle();
  expect(stream.connection().state).toBe('connecting');
  const bytes = new TextEncoder().encode('event: frame\nid: e-1\ndata: "ü"\n\n');
  const middle = bytes.indexOf(0xc3) + 1;
  await server.say(bytes.slice(0, middle));
  await server.say(bytes.slice(middle));
  expect(receiver.events).toEqual(['frame e-1 "ü"']);
  expect(stream.connection().state).toBe('live');
});

test('a cut connection goes on where it was', async () => {
  stream.start();
  await settle();
  await server.say('data: x\n\n');
  expect(receiver.begun).toBe(1);
  receiver.at = 'e-7';
  server.streams[0]?.close();
  await settle();
  expect(stream.connection()).toMatchObject({ state: 'lost', loss: { kind: 'ended' } });
  await vi.advanceTimersByTimeAsync(500);
  expect(server.asked).toEqual([undefined, 'e-7']);
  expect(receiver.begun).toBe(1);
  await server.say('data: x\n\n');
  expect(stream.connection().state).toBe('live');
});

test('a server that cannot be reached is asked less and less often', async () => {
  server.refuse = new Refused({ kind: 'unreachable' });
  stream.start();
  const tries: number[] = [];
  for (let second = 0; second < 60; second += 1) {
    await vi.advanceTimersByTimeAsync(1_000);
    tries.push(server.asked.length);
  }
  // After 0, 0.5, 1.5, 3.5, 7.5, 15.5 s, and then each 15 s.
  expect(tries[0]).toBe(2);
  expect(tries[9]).toBe(5);
  expect(tries[59]).toBe(8);
});

test('who asks to try now does not wait', async () => {
  server.refuse = new Refused({ kind: 'unreachable' });
  stream.start();
  await vi.advanceTimersByTimeAsync(20_000);
  const before = server.asked.length;
  server.refuse = undefined;
  stream.start();
  await settle();
  expect(server.asked.length).toBe(before + 1);
  await server.say(': hello\n\n');
  expect(stream.connection().state).toBe('live');
});

test('a server that goes silent is left', async () => {
  stream.start();
  await settle();
  await server.say('event: ping\ndata: {}\n\n');
  await vi.advanceTimersByTimeAsync(SILENCE_MS - 1);
  expect(stream.connection().state).toBe('live');
  await vi.advanceTimersByTimeAsync(1);
  expect(stream.connection()).toMatchObject({ state: 'lost', loss: { kind: 'silent' } });
});

test('a page that nobody looks at gives its connection back, and takes it again', async () => {
  stream.start();
  await settle();
  await server.say('data: x\n\n');
  stream.visible(false);
  await vi.advanceTimersByTimeAsync(HIDDEN_MS - 1);
  stream.visible(true);
  await vi.advanceTimersByTimeAsync(HIDDEN_MS / 2);
  await server.say('event: ping\ndata: {}\n\n');
  expect(stream.connection().state).toBe('live');

  stream.visible(false);
  for (let second = 0; second < 30; second += 5) {
    await server.say('event: ping\ndata: {}\n\n');
    await vi.advanceTimersByTimeAsync(5_000);
  }
  expect(stream.connection().state).toBe('resting');
  receiver.at = 'e-9';
  stream.visible(true);
  await settle();
  expect(server.asked.at(-1)).toBe('e-9');
});

test.each([
  [401, 'unauthorized'],
  [403, 'forbidden'],
  [503, 'unavailable'],
  [502, 'unavailable'],
  [404, 'not_found'],
])('an answer of %i says why there is nothing', async (status, kind) => {
  const problem = JSON.stringify({ status, title: 'No', detail: 'because', reason: 'x' });
  vi.stubGlobal('fetch', () => Promise.resolve(new Response(problem, { status })));
  const refused = await openEvents(undefined, new AbortController().signal).catch((error: unknown) => error);
  expect(refused).toBeInstanceOf(Refused);
  expect((refused as Refused).refusal).toMatchObject(status === 401 ? { kind } : { kind, detail: 'because' });
});

test('a token goes along where there is one', async () => {
  const fetched = vi.fn((_: string, init: RequestInit) => Promise.reject(new TypeError(`${init.method}`)));
  vi.stubGlobal('fetch', fetched);
  for (const token of [undefined, 's3cret']) {
    await openEvents(undefined, new AbortController().signal, token).catch(() => {});
  }
  const brought = fetched.mock.calls.map(([, init]) => new Headers(init.headers).get('authorization'));
  expect(brought).toEqual([null, 'Bearer s3cret']);
});

test('a server that is no pulltrace is not read as one', async () => {
  const page = new Response('<html>', { headers: { 'content-type': 'text/html' } });
  vi.stubGlobal('fetch', () => Promise.resolve(page));
  const refused = await openEvents(undefined, new AbortController().signal).catch((error: unknown) => error);
  expect((refused as Refused).refusal).toEqual({ kind: 'refused', status: 200 });
});

test('the address of the stream is relative, and says where to go on', async () => {
  const fetched = vi.fn(() => Promise.reject(new TypeError('fetch failed')));
  vi.stubGlobal('fetch', fetched);
  const refused = await openEvents('e1-12', new AbortController().signal).catch((error: unknown) => error);
  expect((refused as Refused).refusal).toEqual({ kind: 'unreachable' });
  expect(fetched).toHaveBeenCalledWith(
    'api/v1/events?format=frame&layers=none&since=e1-12',
    expect.objectContaining({ cache: 'no-store' }),
  );
});
