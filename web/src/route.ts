// Where the reader is: a page, what it is of, and how it is looked at. All of it is in the hash of the address, so a
// link leads to the same view, and the page works under any path without a rule on any server.

import { useSyncExternalStore } from 'react';

export const PAGES = ['overview', 'pulls', 'images', 'nodes', 'failures', 'pods'] as const;
export type Page = (typeof PAGES)[number];

export interface Route {
  /** Undefined where the address names no page that there is. */
  page: Page | undefined;
  /** What the page is of, decoded: an id, or a namespace and a pod. */
  path: readonly string[];
  /** How it is looked at: filter, order, groups. */
  query: URLSearchParams;
}

/** What each page is drawn with. */
export interface PageProps {
  route: Route;
}

/** A part of a path as it was before it was encoded; one that was never encoded is itself. */
function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/** `#/pulls/id?q=node:a` */
export function parse(hash: string): Route {
  const [path = '', ...query] = hash.replace(/^#?\/?/, '').split('?');
  const [page = '', ...rest] = path.split('/');
  return {
    page: page === '' ? 'overview' : PAGES.find((known) => known === page),
    path: rest.filter((part) => part !== '').map(decoded),
    query: new URLSearchParams(query.join('?')),
  };
}

export type Query = Record<string, string | undefined>;

/** The address of a view. What is undefined or empty is left out. */
export function href(page: Page, path: readonly string[] = [], query: Query = {}): string {
  const asked = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) if (value) asked.set(name, value);
  const where = [page === 'overview' && path.length === 0 ? '' : page, ...path.map(encodeURIComponent)];
  return `#/${where.join('/')}${asked.size > 0 ? `?${asked}` : ''}`;
}

let current: { hash: string; route: Route } | undefined;

/** The route of now: the same object until it changes. */
export function route(): Route {
  const { hash } = window.location;
  if (current?.hash !== hash) current = { hash, route: parse(hash) };
  return current.route;
}

function onRoute(listener: () => void): () => void {
  window.addEventListener('hashchange', listener);
  return () => window.removeEventListener('hashchange', listener);
}

export function useRoute(): Route {
  return useSyncExternalStore(onRoute, route);
}

/** Goes there; back leads here. */
export function go(to: string): void {
  window.location.hash = to;
}

/** Another look at the same thing: back leads to where the reader was before it. */
export function look(changes: Query): void {
  const { page, path, query } = route();
  const next = href(page ?? 'overview', path, { ...Object.fromEntries(query), ...changes });
  if (next === window.location.hash) return;
  window.history.replaceState(null, '', next);
  window.dispatchEvent(new HashChangeEvent('hashchange'));
}
