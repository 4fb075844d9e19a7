// Serves the built page as the real server does, and streams a world of which the test holds the clock.
// By itself, to look at the page: node test/e2e/fake-server.mjs [PORT]

import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { at, NODE_NAMES, worldAt } from './world.mjs';

const DIST = new URL('../../dist/', import.meta.url);
const RING = 40;
const TYPES = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript',
  '.css': 'text/css',
  '.svg': 'image/svg+xml',
};
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "font-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "manifest-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
  "trusted-types 'none'",
].join('; ');

/** What changes while a pull only moves. */
const MOVING = [
  'percent',
  'downloadedBytes',
  'extractedBytes',
  'bytesPerSec',
  'etaSeconds',
  'etaLowSeconds',
  'etaHighSeconds',
  'layersDone',
];
const LAYER_MOVING = ['downloadedBytes', 'unpackedBytes', 'bytesPerSec'];

const without = (object, fields) =>
  JSON.stringify(Object.fromEntries(Object.entries(object).filter(([field]) => !fields.includes(field))));
const still = (row) =>
  without({ ...row, layers: row.layers?.map((layer) => without(layer, LAYER_MOVING)) }, MOVING);

function motion(before, row) {
  const layers = (row.layers ?? []).flatMap((layer, index) => {
    const old = before.layers[index];
    if (JSON.stringify(old) === JSON.stringify(layer)) return [];
    return [[index, ...LAYER_MOVING.map((field) => layer[field] ?? null)]];
  });
  return [row.row, ...MOVING.map((field) => row[field] ?? null), layers];
}

/** What turns one world into the other. */
function change(before, world) {
  const old = new Map(before.rows.map((row) => [row.id, row]));
  const rows = [];
  const up = [];
  for (const row of world.rows) {
    const was = old.get(row.id);
    if (was && JSON.stringify(was) === JSON.stringify(row)) continue;
    if (was && still(was) === still(row)) up.push(motion(was, row));
    else rows.push(row);
  }
  const ids = new Set(world.rows.map((row) => row.id));
  const rm = before.rows.filter((row) => !ids.has(row.id)).map((row) => row.id);
  const nodesBefore = new Map(before.nodes.map((node) => [node.name, JSON.stringify(node)]));
  const nodes = world.nodes.filter((node) => nodesBefore.get(node.name) !== JSON.stringify(node));
  return { rows, up, rm, nodes };
}

export class FakeServer {
  /** How requests for the stream are answered; 200 streams. */
  answer = 200;
  /** How often the page itself was asked for. */
  loads = 0;
  /** The `since` of each request for the stream. */
  asked = [];
  #base;
  #epoch;
  #seq = 1;
  #t;
  #heard;
  #world;
  #frames = [];
  #readers = new Set();
  #server;
  #ping;

  /** `heard`: the nodes whose agents have reported to this life of the server. `base`: the path before all others. */
  constructor({ epoch = 'e1', t = 0, heard = NODE_NAMES, base = '/' } = {}) {
    this.#base = base;
    this.#epoch = epoch;
    this.#t = t;
    this.#heard = [...heard];
    this.#world = worldAt(t, this.#heard);
    this.#server = createServer((request, response) => this.#serve(request, response));
  }

  /** Listens, on any free port unless one is said. Gives the address of the page. */
  async start(port = 0) {
    await new Promise((resolve) => this.#server.listen(port, '127.0.0.1', resolve));
    this.#ping = setInterval(() => this.#tell('ping', { seq: this.#seq, now: at(this.#t) }), 5_000);
    return `http://127.0.0.1:${this.#server.address().port}${this.#base}`;
  }

  /** Gone at once, with all connections. */
  async stop() {
    clearInterval(this.#ping);
    const closed = new Promise((resolve) => this.#server.close(resolve));
    this.#server.closeAllConnections();
    await closed;
  }

  /** Cuts the readers off; they may come back. */
  cut() {
    for (const reader of this.#readers) reader.destroy();
  }

  get world() {
    return this.#world;
  }

  /** The world is `t` seconds old now. */
  to(t) {
    this.#t = t;
    this.#advance();
  }

  /** The agents of these nodes report. */
  hear(names) {
    this.#heard.push(...names);
    this.#advance();
  }

  /** Something else than the world says. */
  send(event, data) {
    for (const reader of this.#readers) reader.write(`event: ${event}\ndata: ${data}\n\n`);
  }

  #advance() {
    const world = worldAt(this.#t, this.#heard);
    const changed = change(this.#world, world);
    this.#world = world;
    this.#seq += 1;
    this.#frames = [...this.#frames, { seq: this.#seq, now: at(this.#t), ...changed }].slice(-RING);
    this.#tell('frame', this.#frames.at(-1));
  }

  #tell(event, data) {
    const text = this.#event(event, data, this.#seq);
    for (const reader of this.#readers) reader.write(text);
  }

  /** Without a `seq` a reader cannot go on from there. */
  #event(event, data, seq) {
    const id = seq === undefined ? '' : `id: ${this.#epoch}-${seq}\n`;
    return `event: ${event}\n${id}data: ${JSON.stringify(data)}\n\n`;
  }

  async #serve(request, response) {
    const { pathname: whole, searchParams } = new URL(request.url, 'http://localhost');
    const path = whole.startsWith(this.#base) ? whole.slice(this.#base.length) : `outside of ${this.#base}`;
    response.setHeader('content-security-policy', POLICY);
    response.setHeader('x-content-type-options', 'nosniff');
    response.setHeader('referrer-policy', 'no-referrer');
    if (path === 'api/v1/events') return this.#stream(searchParams.get('since'), response);
    const name = path || 'index.html';
    try {
      const body = await readFile(new URL(name, DIST));
      if (name === 'index.html') this.loads += 1;
      response
        .writeHead(200, { 'content-type': TYPES[extname(name)] ?? 'application/octet-stream' })
        .end(body);
    } catch {
      response.writeHead(404, { 'content-type': 'text/plain' }).end(`no ${name}: was the page built?\n`);
    }
  }

  #stream(since, response) {
    this.asked.push(since);
    if (this.answer !== 200) {
      const problem = { status: this.answer, title: 'Not now', detail: 'the test says so', reason: 'test' };
      response
        .writeHead(this.answer, { 'content-type': 'application/problem+json' })
        .end(JSON.stringify(problem));
      return;
    }
    response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
    response.write('retry: 1000\n\n');
    const missed = this.#missed(since);
    if (missed) {
      for (const frame of missed) response.write(this.#event('frame', frame, frame.seq));
    } else {
      if (since !== null) response.write(this.#event('reset', { reason: 'other_epoch' }));
      const { rows, nodes } = this.#world;
      const now = at(this.#t);
      response.write(this.#event('frame', { seq: this.#seq, now, nodes }));
      for (let i = 0; i < rows.length; i += 3) {
        response.write(this.#event('frame', { seq: this.#seq, now, rows: rows.slice(i, i + 3) }));
      }
      response.write(this.#event('snapshot-end', { seq: this.#seq, now }, this.#seq));
    }
    this.#readers.add(response);
    response.on('close', () => this.#readers.delete(response));
  }

  /** The frames after `since`; undefined where they are not all here. */
  #missed(since) {
    const [epoch, seq] = (since ?? '').split('-');
    if (epoch !== this.#epoch) return undefined;
    const from = Number(seq);
    const first = this.#frames[0]?.seq ?? this.#seq + 1;
    return from + 1 >= first && from <= this.#seq
      ? this.#frames.filter((frame) => frame.seq > from)
      : undefined;
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const server = new FakeServer();
  const began = Date.now();
  console.log(await server.start(Number(process.argv[2] ?? 8081)));
  setInterval(() => server.to((Date.now() - began) / 1000), 250);
}
