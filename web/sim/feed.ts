// Tells a story to readers: the stream with its snapshots and changes, and the answers about now. The clock is held by
// whoever has the feed, or runs.

import type { IncomingMessage, ServerResponse } from 'node:http';
import { type Answer, answer, problem } from './answer';
import { change, type Layers, told } from './change';
import { type Story, storyOf } from './stories';
import { ORIGIN, type World } from './world';

/** So many frames are kept for those who come back. */
const RING = 240;
const CHUNK = 200;
const PING_MS = 5_000;
const TICK_MS = 250;

export interface FeedOptions {
  /** The second of the story. */
  t?: number;
  /** The life of the server. The story's own, where none is said. */
  epoch?: string;
  /** The nodes whose agents have reported to this life of the server; all, where it is not said. */
  heard?: readonly string[];
}

interface Reader {
  response: ServerResponse;
  layers: Layers;
}

type Frames = Record<Layers, string>;

export class Feed {
  /** How requests for the stream are answered; 200 streams. */
  status = 200;
  /** The `since` of each request for the stream. */
  readonly asked: (string | null)[] = [];
  /** How often each path of the API was asked for. */
  readonly counts = new Map<string, number>();
  readonly story: Story;
  #t: number;
  #origin = ORIGIN;
  #epoch: string | undefined;
  #heard: Set<string> | undefined;
  #seq = 1;
  #world: World;
  #frames: { seq: number; text: Frames }[] = [];
  #readers = new Set<Reader>();
  #timers: NodeJS.Timeout[] = [];

  constructor(story: Story, { t = story.opens ?? story.from, epoch, heard }: FeedOptions = {}) {
    this.story = story;
    this.#t = t;
    this.#epoch = epoch;
    this.#heard = heard && new Set(heard);
    this.#world = this.#at(t);
  }

  get world(): World {
    return this.#world;
  }
  get t(): number {
    return this.#t;
  }

  /** Begins to say that it lives. */
  start(): void {
    this.#timers.push(setInterval(() => this.#ping(), PING_MS));
  }

  /** The story happens now, and after its end again. */
  run(): void {
    let began = Date.now() - this.#t * 1000;
    this.#origin = began;
    this.restart('again');
    const tick = (): void => {
      const t = (Date.now() - began) / 1000;
      if (t < this.story.until) {
        this.to(t);
        return;
      }
      this.#t = this.story.opens ?? this.story.from;
      began = Date.now() - this.#t * 1000;
      this.#origin = began;
      this.restart('again');
    };
    this.#timers.push(setInterval(tick, TICK_MS));
  }

  stop(): void {
    for (const timer of this.#timers) clearInterval(timer);
    this.cut();
  }

  /** Cuts the readers off; they may come back. */
  cut(): void {
    for (const { response } of this.#readers) response.destroy();
    this.#readers.clear();
  }

  /** The story is at second `t`. */
  to(t: number): void {
    this.#t = t;
    this.#advance();
  }

  /** The agents of these nodes report. */
  hear(names: readonly string[]): void {
    this.#heard = new Set([...(this.#heard ?? []), ...names]);
    this.#advance();
  }

  /** Something else than the story says. */
  send(event: string, data: string): void {
    for (const { response } of this.#readers) response.write(`event: ${event}\ndata: ${data}\n\n`);
  }

  /** Everybody begins anew, with a snapshot of what is now. */
  restart(reason: string): void {
    this.#frames = [];
    this.#world = this.#at(this.#t);
    this.#seq += 1;
    for (const reader of this.#readers) {
      reader.response.write(event('reset', { reason }));
      this.#snapshot(reader);
    }
  }

  #at(t: number): World {
    const world = this.story.world(t, this.#origin);
    const heard = this.#heard;
    const epoch = this.#epoch ?? world.server.epoch;
    return {
      ...world,
      rows: heard ? world.rows.filter((row) => heard.has(row.nodeName)) : world.rows,
      nodes: heard ? world.nodes.filter((node) => heard.has(node.name)) : world.nodes,
      server: { ...world.server, epoch },
    };
  }

  #advance(): void {
    const before = this.#world;
    const world = this.#at(this.#t);
    this.#world = world;
    this.#seq += 1;
    if (before.server.epoch !== world.server.epoch) {
      // Another life of the server knows nothing of the readers of the one before.
      this.#frames = [];
      this.#seq = 1;
      this.cut();
      return;
    }
    const stamp = { seq: this.#seq, now: world.server.now };
    const id = this.#id();
    const text = {
      embed: event('frame', { ...stamp, ...change(before, world, 'embed') }, id),
      none: event('frame', { ...stamp, ...change(before, world, 'none') }, id),
    };
    this.#frames = [...this.#frames, { seq: this.#seq, text }].slice(-RING);
    for (const { response, layers } of this.#readers) response.write(text[layers]);
  }

  #ping(): void {
    const text = event('ping', { seq: this.#seq, now: this.#world.server.now }, this.#id());
    for (const { response } of this.#readers) response.write(text);
  }

  #id(): string {
    return `${this.#world.server.epoch}-${this.#seq}`;
  }

  // --- requests ---

  /** Answers what begins with `api/`. `path` is the rest of it. */
  serve(path: string, query: URLSearchParams, request: IncomingMessage, response: ServerResponse): void {
    const asked = path.replace(/^v1\//, '');
    this.counts.set(asked, (this.counts.get(asked) ?? 0) + 1);
    if (asked === 'events') this.asked.push(query.get('since'));
    if (asked === 'events' && this.status === 200 && query.get('format') === 'frame') {
      this.#stream(query, response);
    } else {
      send(response, this.#answer(path, asked, query, request));
    }
  }

  #answer(path: string, asked: string, query: URLSearchParams, request: IncomingMessage): Answer {
    if (request.method !== 'GET') return problem(405, 'method', 'This cannot be done here');
    if (asked === path) return problem(404, 'not_found', 'There is nothing here');
    if (this.status !== 200) return problem(this.status, 'test', 'Not now', 'this is a simulation');
    if (asked === 'events') return problem(400, 'query', 'The query is not understood', 'format=frame only');
    return answer(this.#world, this.#seq, asked, query);
  }

  #stream(query: URLSearchParams, response: ServerResponse): void {
    const since = query.get('since');
    response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
    response.write('retry: 1000\n\n');
    const reader: Reader = { response, layers: query.get('layers') === 'none' ? 'none' : 'embed' };
    const missed = this.#missed(since);
    if (missed) for (const { text } of missed) response.write(text[reader.layers]);
    else {
      if (since !== null) response.write(event('reset', { reason: 'other_epoch' }));
      this.#snapshot(reader);
    }
    this.#readers.add(reader);
    response.on('close', () => this.#readers.delete(reader));
  }

  #snapshot({ response, layers }: Reader): void {
    const { rows, nodes, server } = this.#world;
    const stamp = { seq: this.#seq, now: server.now };
    response.write(event('frame', { ...stamp, nodes }));
    for (let i = 0; i < rows.length; i += CHUNK) {
      const chunk = rows.slice(i, i + CHUNK).map((row) => told(row, layers));
      response.write(event('frame', { ...stamp, rows: chunk }));
    }
    if (!this.story.unfinished) response.write(event('snapshot-end', stamp, this.#id()));
  }

  /** The frames after `since`; undefined where they are not all here. */
  #missed(since: string | null): { seq: number; text: Frames }[] | undefined {
    const [, epoch, seq] = /^(.*)-(\d+)$/.exec(since ?? '') ?? [];
    if (epoch !== this.#world.server.epoch) return undefined;
    const from = Number(seq);
    const first = this.#frames[0]?.seq ?? this.#seq + 1;
    return from + 1 >= first && from <= this.#seq
      ? this.#frames.filter((frame) => frame.seq > from)
      : undefined;
  }
}

/** A story that happens now. */
export function runningFeed(name: string): Feed {
  const feed = new Feed(storyOf(name), { epoch: `${name}.${Date.now()}` });
  feed.start();
  feed.run();
  return feed;
}

/** An event of the stream. Without an id a reader cannot go on from there. */
export function event(name: string, data: unknown, id?: string): string {
  return `event: ${name}\n${id === undefined ? '' : `id: ${id}\n`}data: ${JSON.stringify(data)}\n\n`;
}

export function send(response: ServerResponse, { status, body }: Answer): void {
  const type = status < 400 ? 'application/json' : 'application/problem+json';
  response.writeHead(status, { 'content-type': type, 'cache-control': 'no-store' }).end(JSON.stringify(body));
}
