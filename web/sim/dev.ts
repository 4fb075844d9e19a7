// Vite plugin that serves a simulated story to `npm run dev`. Each story has its own feed, started
// on first use. The dev server loads the simulation itself, so this file imports only types.

import type { Plugin } from 'vite';
import type { Feed } from './feed';

/** Reads `?story=` from the page's URL in the referer header. */
function storyFromReferer(referer: string | undefined, fallback: string): string {
  return (referer && new URL(referer).searchParams.get('story')) || fallback;
}

export function simulationPlugin(fallback: string): Plugin {
  const feeds = new Map<string, Feed>();
  return {
    name: 'simulation',
    apply: 'serve',
    configureServer(server) {
      const feedOf = async (name: string): Promise<Feed> => {
        const { startFeed } = (await server.ssrLoadModule('/sim/feed.ts')) as typeof import('./feed');
        const feed = feeds.get(name) ?? startFeed(name);
        feeds.set(name, feed);
        return feed;
      };
      server.middlewares.use('/api', (request, response, next) => {
        const { pathname, searchParams } = new URL(request.url ?? '/', 'http://localhost');
        feedOf(storyFromReferer(request.headers.referer, fallback))
          .then((feed) => feed.serve(pathname.slice(1), searchParams, request, response))
          .catch(next);
      });
      server.httpServer?.on('close', () => {
        for (const feed of feeds.values()) feed.stop();
      });
    },
  };
}
