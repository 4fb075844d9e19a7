// Lets `npm run dev` answer from a story. Another story is another life of the server, begun when it is first asked for.
// The simulation itself is loaded by the development server, so this file imports types alone.

import type { Plugin } from 'vite';
import type { Feed } from './feed';

/** `?story=` of the page's own address, which each request names as where it comes from. */
function chosen(referer: string | undefined, fallback: string): string {
  return (referer && new URL(referer).searchParams.get('story')) || fallback;
}

export function simulation(fallback: string): Plugin {
  const feeds = new Map<string, Feed>();
  return {
    name: 'simulation',
    apply: 'serve',
    configureServer(server) {
      const feedOf = async (name: string): Promise<Feed> => {
        const { runningFeed } = (await server.ssrLoadModule('/sim/feed.ts')) as typeof import('./feed');
        const feed = feeds.get(name) ?? runningFeed(name);
        feeds.set(name, feed);
        return feed;
      };
      server.middlewares.use('/api', (request, response, next) => {
        const { pathname, searchParams } = new URL(request.url ?? '/', 'http://localhost');
        feedOf(chosen(request.headers.referer, fallback))
          .then((feed) => feed.serve(pathname.slice(1), searchParams, request, response))
          .catch(next);
      });
      server.httpServer?.on('close', () => {
        for (const feed of feeds.values()) feed.stop();
      });
    },
  };
}
