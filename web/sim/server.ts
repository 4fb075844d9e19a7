// Serves the built page together with an API that is simulated.

import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { Feed, type FeedOptions } from './feed';
import { secure, serveFile } from './files';
import { type Story, storyOf } from './stories';

/** What answers the API. */
export interface Source {
  start(): void;
  stop(): void;
  /** Answers what begins with `api/`. `path` is the rest of it. */
  serve(path: string, query: URLSearchParams, request: IncomingMessage, response: ServerResponse): void;
}

export interface PageOptions {
  /** The path before all others. */
  base?: string;
  /** Where the built page is. */
  dist?: string;
}

export interface ServerOptions extends FeedOptions, PageOptions {
  story?: Story | string;
}

const DIST = process.env.PULLTRACE_DIST ?? fileURLToPath(new URL('../dist/', import.meta.url));

/** The built page, and an API that something answers. */
export class PageServer {
  /** How often the page itself was asked for. */
  loads = 0;
  #source: Source;
  #base: string;
  #dist: string;
  #server: Server;

  constructor(source: Source, { base = '/', dist = DIST }: PageOptions = {}) {
    this.#source = source;
    this.#base = base;
    this.#dist = dist;
    this.#server = createServer((request, response) => this.#serve(request, response));
  }

  /** Listens, on any free port unless one is said. Gives the address of the page. */
  async start(port = 0): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(port, '127.0.0.1', resolve));
    this.#source.start();
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}${this.#base}`;
  }

  /** Gone at once, with all connections. */
  async stop(): Promise<void> {
    this.#source.stop();
    const closed = new Promise((resolve) => this.#server.close(resolve));
    this.#server.closeAllConnections();
    await closed;
  }

  #serve(request: IncomingMessage, response: ServerResponse): void {
    const { pathname, searchParams } = new URL(request.url ?? '/', 'http://localhost');
    secure(response);
    const path = pathname.slice(this.#base.length);
    if (!pathname.startsWith(this.#base)) {
      response.writeHead(404, { 'content-type': 'text/plain' }).end(`outside of ${this.#base}\n`);
    } else if (path.startsWith('api/')) {
      this.#source.serve(path.slice(4), searchParams, request, response);
    } else {
      if (path === '' || path === 'index.html') this.loads += 1;
      void serveFile(this.#dist, path, response);
    }
  }
}

/** A server that has a story instead of a cluster. Its clock stands where the test puts it, or runs. */
export class FakeServer extends PageServer {
  readonly feed: Feed;

  constructor({ story = 'rollout', ...options }: ServerOptions = {}) {
    const feed = new Feed(typeof story === 'string' ? storyOf(story) : story, options);
    super(feed, options);
    this.feed = feed;
  }
}
