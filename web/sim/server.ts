// A server that has a story instead of a cluster: the built page, and the real API. Its clock stands where the test puts
// it, or runs.

import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { Feed, type FeedOptions } from './feed';
import { secure, serveFile } from './files';
import { type Story, storyOf } from './stories';

export interface ServerOptions extends FeedOptions {
  story?: Story | string;
  /** The path before all others. */
  base?: string;
  /** Where the built page is. */
  dist?: string;
}

const DIST = process.env.PULLTRACE_DIST ?? fileURLToPath(new URL('../dist/', import.meta.url));

export class FakeServer {
  /** How often the page itself was asked for. */
  loads = 0;
  readonly feed: Feed;
  #base: string;
  #dist: string;
  #server: Server;

  constructor({ story = 'rollout', base = '/', dist = DIST, ...options }: ServerOptions = {}) {
    this.feed = new Feed(typeof story === 'string' ? storyOf(story) : story, options);
    this.#base = base;
    this.#dist = dist;
    this.#server = createServer((request, response) => this.#serve(request, response));
  }

  /** Listens, on any free port unless one is said. Gives the address of the page. */
  async start(port = 0): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(port, '127.0.0.1', resolve));
    this.feed.start();
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}${this.#base}`;
  }

  /** Gone at once, with all connections. */
  async stop(): Promise<void> {
    this.feed.stop();
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
      this.feed.serve(path.slice(4), searchParams, request, response);
    } else {
      if (path === '' || path === 'index.html') this.loads += 1;
      void serveFile(this.#dist, path, response);
    }
  }
}
