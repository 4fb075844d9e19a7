// Serves a story: the event stream with snapshots and changes, and API responses. The clock is set
// by the owner of the feed, or runs.

import type { IncomingMessage, ServerResponse } from 'node:http';
import { type Answer, answer, problem } from './answer';
import { diffWorlds, withoutLayers } from './change';
import { type Story, storyByName } from './stories';
import { ORIGIN, type World } from './world';

/** Number of frames kept for readers that resume. */
const MAX_FRAMES = 240;
const ROWS_PER_FRAME = 200;
const PING_MS = 5_000;
const TICK_MS = 250;

export interface FeedOptions {
  /** Story second at which the feed starts. */
  startAt?: number;
  /** The server's epoch; by default the story's. */
  epoch?: string;
  /** Nodes whose agents have reported to this epoch of the server; by default all. */
  reportingNodes?: readonly string[];
}

export class Feed {
  /** Status of stream requests; 200 serves the stream. */
  status = 200;
  /** `since` of each stream request. */
  readonly resumeIds: (string | null)[] = [];
  /** Number of requests per API path. */
  readonly requestCounts = new Map<string, number>();
  readonly story: Story;
  #time: number;
  #origin = ORIGIN;
  #epoch: string | undefined;
  #reportingNodes: Set<string> | undefined;
  #seq = 1;
  #world: World;
  #frames: { seq: number; text: string }[] = [];
  #readers = new Set<ServerResponse>();
  #timers: NodeJS.Timeout[] = [];

  constructor(
    story: Story,
    { startAt = story.openAt ?? story.viewAt, epoch, reportingNodes }: FeedOptions = {},
  ) {
    this.story = story;
    this.#time = startAt;
    this.#epoch = epoch;
    this.#reportingNodes = reportingNodes && new Set(reportingNodes);
    this.#world = this.#worldAt(startAt);
  }

  get world(): World {
    return this.#world;
  }
  get t(): number {
    return this.#time;
  }

  /** Starts sending pings. */
  start(): void {
    this.#timers.push(setInterval(() => this.#ping(), PING_MS));
  }

  /** Plays the story in real time, in a loop. */
  run(): void {
    let startedAt = Date.now() - this.#time * 1000;
    this.#origin = startedAt;
    this.restart('again');
    const tick = (): void => {
      const t = (Date.now() - startedAt) / 1000;
      if (t < this.story.until) {
        this.advanceTo(t);
        return;
      }
      this.#time = this.story.openAt ?? this.story.viewAt;
      startedAt = Date.now() - this.#time * 1000;
      this.#origin = startedAt;
      this.restart('again');
    };
    this.#timers.push(setInterval(tick, TICK_MS));
  }

  stop(): void {
    for (const timer of this.#timers) clearInterval(timer);
    this.disconnect();
  }

  /** Disconnects all readers; they may reconnect. */
  disconnect(): void {
    for (const response of this.#readers) response.destroy();
    this.#readers.clear();
  }

  /** Advances the story to second `t`. */
  advanceTo(t: number): void {
    this.#time = t;
    this.#advance();
  }

  /** Makes the agents of these nodes report. */
  nodesReport(names: readonly string[]): void {
    this.#reportingNodes = new Set([...(this.#reportingNodes ?? []), ...names]);
    this.#advance();
  }

  /** Sends a raw event that is not part of the story. */
  sendRaw(name: string, data: string): void {
    for (const response of this.#readers) response.write(`event: ${name}\ndata: ${data}\n\n`);
  }

  /** Sends all readers a reset and a new snapshot. */
  restart(reason: string): void {
    this.#frames = [];
    this.#world = this.#worldAt(this.#time);
    this.#seq += 1;
    for (const response of this.#readers) {
      response.write(formatEvent('reset', { reason }));
      this.#snapshot(response);
    }
  }

  #worldAt(t: number): World {
    const world = this.story.world(t, this.#origin);
    const reporting = this.#reportingNodes;
    const epoch = this.#epoch ?? world.server.epoch;
    return {
      ...world,
      rows: reporting ? world.rows.filter((row) => reporting.has(row.nodeName)) : world.rows,
      nodes: reporting ? world.nodes.filter((node) => reporting.has(node.name)) : world.nodes,
      server: { ...world.server, epoch },
    };
  }

  #advance(): void {
    const before = this.#world;
    const world = this.#worldAt(this.#time);
    this.#world = world;
    this.#seq += 1;
    if (before.server.epoch !== world.server.epoch) {
      // A new epoch does not know the readers of the previous one.
      this.#frames = [];
      this.#seq = 1;
      this.disconnect();
      return;
    }
    const stamp = { seq: this.#seq, now: world.server.now };
    const id = this.#id();
    const text = formatEvent('frame', { ...stamp, ...diffWorlds(before, world) }, id);
    this.#frames = [...this.#frames, { seq: this.#seq, text }].slice(-MAX_FRAMES);
    for (const response of this.#readers) response.write(text);
  }

  #ping(): void {
    const text = formatEvent('ping', { seq: this.#seq, now: this.#world.server.now }, this.#id());
    for (const response of this.#readers) response.write(text);
  }

  #id(): string {
    return `${this.#world.server.epoch}-${this.#seq}`;
  }

  // --- requests ---

  /** Handles requests below `api/`; `path` is the rest. */
  serve(path: string, query: URLSearchParams, request: IncomingMessage, response: ServerResponse): void {
    const endpoint = path.replace(/^v1\//, '');
    this.requestCounts.set(endpoint, (this.requestCounts.get(endpoint) ?? 0) + 1);
    if (endpoint === 'events') this.resumeIds.push(query.get('since'));
    if (endpoint === 'events' && this.status === 200 && query.get('format') === 'frame') {
      this.#stream(query, response);
    } else {
      sendAnswer(response, this.#answer(path, endpoint, query, request));
    }
  }

  #answer(path: string, endpoint: string, query: URLSearchParams, request: IncomingMessage): Answer {
    if (request.method !== 'GET') return problem(405, 'method', 'Method not allowed');
    if (endpoint === path) return problem(404, 'not_found', 'Not found');
    if (this.status !== 200)
      return problem(this.status, 'test', 'Temporarily unavailable', 'simulated error');
    if (endpoint === 'events')
      return problem(400, 'query', 'Invalid query', 'invalid `format`: expected frame');
    return answer(this.#world, this.#seq, endpoint, query);
  }

  #stream(query: URLSearchParams, response: ServerResponse): void {
    const since = query.get('since');
    response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
    response.write('retry: 1000\n\n');
    const missed = this.#missed(since);
    if (missed) for (const { text } of missed) response.write(text);
    else {
      if (since !== null) response.write(formatEvent('reset', { reason: 'other_epoch' }));
      this.#snapshot(response);
    }
    this.#readers.add(response);
    response.on('close', () => this.#readers.delete(response));
  }

  #snapshot(response: ServerResponse): void {
    const { rows, nodes, server } = this.#world;
    const stamp = { seq: this.#seq, now: server.now };
    response.write(formatEvent('frame', { ...stamp, nodes }));
    for (let i = 0; i < rows.length; i += ROWS_PER_FRAME) {
      const chunk = rows.slice(i, i + ROWS_PER_FRAME).map(withoutLayers);
      response.write(formatEvent('frame', { ...stamp, rows: chunk }));
    }
    if (!this.story.unfinished) response.write(formatEvent('snapshot-end', stamp, this.#id()));
  }

  /** Frames after `since`; undefined if some are no longer kept. */
  #missed(since: string | null): { seq: number; text: string }[] | undefined {
    const [, epoch, seq] = /^(.*)-(\d+)$/.exec(since ?? '') ?? [];
    if (epoch !== this.#world.server.epoch) return undefined;
    const from = Number(seq);
    const first = this.#frames[0]?.seq ?? this.#seq + 1;
    return from + 1 >= first && from <= this.#seq
      ? this.#frames.filter((frame) => frame.seq > from)
      : undefined;
  }
}

/** Starts a feed that plays in real time. */
export function startFeed(name: string): Feed {
  const feed = new Feed(storyByName(name), { epoch: `${name}.${Date.now()}` });
  feed.start();
  feed.run();
  return feed;
}

/** Formats an event of the stream. Readers cannot resume from an event without an id. */
export function formatEvent(name: string, data: unknown, id?: string): string {
  return `event: ${name}\n${id === undefined ? '' : `id: ${id}\n`}data: ${JSON.stringify(data)}\n\n`;
}

export function sendAnswer(response: ServerResponse, { status, body }: Answer): void {
  const type = status < 400 ? 'application/json' : 'application/problem+json';
  response.writeHead(status, { 'content-type': type, 'cache-control': 'no-store' }).end(JSON.stringify(body));
}
