// Serves the built page with a simulated API.

import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { Feed, type FeedOptions } from './feed';
import { serveFile, setSecurityHeaders } from './files';
import { type Story, storyByName } from './stories';

/** Implementation of the API. */
export interface ApiSource {
  start(): void;
  stop(): void;
  /** Handles requests below `api/`; `path` is the rest. */
  serve(path: string, query: URLSearchParams, request: IncomingMessage, response: ServerResponse): void;
}

export interface PageOptions {
  /** Base path of the page. */
  base?: string;
  /** Directory of the built page. */
  dist?: string;
}

export interface ServerOptions extends FeedOptions, PageOptions {
  story?: Story | string;
}

const DIST = process.env.PULLTRACE_DIST ?? fileURLToPath(new URL('../dist/', import.meta.url));

/** Serves the built page and an API. */
export class PageServer {
  /** Number of times the page itself was requested. */
  loads = 0;
  #source: ApiSource;
  #base: string;
  #dist: string;
  #server: Server;

  constructor(source: ApiSource, { base = '/', dist = DIST }: PageOptions = {}) {
    this.#source = source;
    this.#base = base;
    this.#dist = dist;
    this.#server = createServer((request, response) => this.#serve(request, response));
  }

  /** Listens on `port`, or on any free port. Returns the URL of the page. */
  async start(port = 0): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(port, '127.0.0.1', resolve));
    this.#source.start();
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}${this.#base}`;
  }

  /** Closes all connections immediately. */
  async stop(): Promise<void> {
    this.#source.stop();
    const closed = new Promise((resolve) => this.#server.close(resolve));
    this.#server.closeAllConnections();
    await closed;
  }

  #serve(request: IncomingMessage, response: ServerResponse): void {
    const { pathname, searchParams } = new URL(request.url ?? '/', 'http://localhost');
    setSecurityHeaders(response);
    const path = pathname.slice(this.#base.length);
    if (!pathname.startsWith(this.#base)) {
      response
        .writeHead(404, { 'content-type': 'text/plain' })
        .end(`not found: expected a path below ${this.#base}\n`);
    } else if (path.startsWith('api/')) {
      this.#source.serve(path.slice(4), searchParams, request, response);
    } else {
      if (path === '' || path === 'index.html') this.loads += 1;
      void serveFile(this.#dist, path, response);
    }
  }
}

/** A server that serves a story. The test sets its clock, or it runs. */
export class FakeServer extends PageServer {
  readonly feed: Feed;

  constructor({ story = 'rollout', ...options }: ServerOptions = {}) {
    const feed = new Feed(typeof story === 'string' ? storyByName(story) : story, options);
    super(feed, options);
    this.feed = feed;
  }
}
