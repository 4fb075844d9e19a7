// Routing. Page, path and query are all in the URL hash, so links reproduce the view and the page
// works under any base path without server rewrites.

import { useSyncExternalStore } from 'react';

export const PAGES = ['overview', 'pulls', 'images', 'nodes', 'failures', 'pods'] as const;
export type Page = (typeof PAGES)[number];

export interface Route {
  /** Undefined if the URL names an unknown page. */
  page: Page | undefined;
  /** Decoded path segments after the page: an id, or a namespace and a pod. */
  path: readonly string[];
  /** View options: filter, order, grouping. */
  query: URLSearchParams;
}

export interface PageProps {
  route: Route;
}

/** Decodes a path segment; returns it unchanged if it is not valid percent-encoding. */
function decodeSegment(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/** Parses a hash such as `#/pulls/id?q=node:a`. */
export function parseRoute(hash: string): Route {
  const [path = '', ...query] = hash.replace(/^#?\/?/, '').split('?');
  const [page = '', ...rest] = path.split('/');
  return {
    page: page === '' ? 'overview' : PAGES.find((known) => known === page),
    path: rest.filter((part) => part !== '').map(decodeSegment),
    query: new URLSearchParams(query.join('?')),
  };
}

export type QueryParams = Record<string, string | undefined>;

/** Returns the URL of a view. Undefined and empty values are omitted. */
export function href(page: Page, path: readonly string[] = [], query: QueryParams = {}): string {
  const params = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) if (value) params.set(name, value);
  const segments = [page === 'overview' && path.length === 0 ? '' : page, ...path.map(encodeURIComponent)];
  return `#/${segments.join('/')}${params.size > 0 ? `?${params}` : ''}`;
}

let current: { hash: string; route: Route } | undefined;

/** The current route: the same object until the hash changes. */
export function currentRoute(): Route {
  const { hash } = window.location;
  if (current?.hash !== hash) current = { hash, route: parseRoute(hash) };
  return current.route;
}

function onRoute(listener: () => void): () => void {
  window.addEventListener('hashchange', listener);
  return () => window.removeEventListener('hashchange', listener);
}

export function useRoute(): Route {
  return useSyncExternalStore(onRoute, currentRoute);
}

/** Navigates, adding a history entry. */
export function navigate(target: string): void {
  window.location.hash = target;
}

/** Changes query parameters, replacing the history entry: back skips intermediate views. */
export function updateQuery(changes: QueryParams): void {
  const { page, path, query } = currentRoute();
  const next = href(page ?? 'overview', path, { ...Object.fromEntries(query), ...changes });
  if (next === window.location.hash) return;
  window.history.replaceState(null, '', next);
  window.dispatchEvent(new HashChangeEvent('hashchange'));
}
