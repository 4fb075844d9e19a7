// What holds on every page: keys, the title of the tab, its icon, and what there is to say of the server.

import { useEffect, useMemo, useRef } from 'react';
import { useAll, useLive, useNameOf, useServer } from '../../live/hooks';
import { failing } from '../../model/failures';
import { route as current, go, href, look, type Route } from '../../route';
import { changeSettings, settings } from '../../settings';
import { useCut } from '../Connection';
import { KeyList, openKeys } from './KeyList';
import { acts, deed, GO_MS, types } from './keys';
import { News } from './News';
import { nextTheme } from './Theme';

export function Habits({ route }: { route: Route }) {
  useKeys(route);
  useTitle(route);
  return (
    <>
      <News server={useServer()} />
      <KeyList />
    </>
  );
}

function useKeys(route: Route): void {
  const { store } = useLive();
  const goAt = useRef(Number.NEGATIVE_INFINITY);
  // Where Escape leads from what a list opened: back to it, with its filter.
  const list = useRef<string>(undefined);
  useEffect(() => {
    if (route.path.length === 0) list.current = window.location.hash;
  }, [route]);

  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      const { key, target } = event;
      if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
      if (event.isComposing || types(target) || document.querySelector('dialog[open]')) return;
      const went = performance.now() - goAt.current < GO_MS;
      goAt.current = key === 'g' && !went ? performance.now() : Number.NEGATIVE_INFINITY;
      const what = deed(key, went);
      if (what === undefined || event.repeat || (what.do === 'hold' && acts(target))) return;
      // The browser closes what lies over the page, and no more than that is meant.
      if (what.do === 'back' && document.querySelector('[popover][data-open]')) return;
      // Of now: a key may come before the page that was gone to is drawn.
      const { page, path } = current();
      switch (what.do) {
        case 'search':
          document.getElementById('search')?.focus();
          break;
        case 'hold':
          store.pause(!store.paused());
          break;
        case 'theme':
          changeSettings({ theme: nextTheme(settings().theme) });
          break;
        case 'keys':
          openKeys();
          break;
        case 'page':
          go(href(what.page));
          break;
        case 'group':
          if (path.length > 0 || (page !== 'overview' && page !== 'pulls')) return;
          look({ group: what.group });
          break;
        case 'back':
          if (path.length === 0) return;
          go(list.current ?? href(page === 'pods' ? 'overview' : (page ?? 'overview')));
          break;
      }
      event.preventDefault();
    };
    document.addEventListener('keydown', onKey);
    return () => document.removeEventListener('keydown', onKey);
  }, [store]);
}

const NAMES = {
  overview: 'Overview',
  pulls: 'Pulls',
  images: 'Images',
  nodes: 'Nodes',
  failures: 'Failures',
  pods: 'Pods',
};

/** `(3 failing) Pulls · pulltrace`, and an icon that tells it from afar. */
function useTitle({ page, path }: Route): void {
  const all = useAll();
  const failures = useMemo(() => failing(all).length, [all]);
  const cut = useCut();
  const pull = useNameOf(page === 'pulls' ? path[0] : undefined);
  const of = pull ?? path.join('/');
  const where = page === undefined ? '' : of === '' || page === 'failures' ? NAMES[page] : of;
  const title = [where, 'pulltrace'].filter(Boolean).join(' · ');
  const icon = cut ? 'favicon-lost' : failures > 0 ? 'favicon-failing' : 'favicon';

  useEffect(() => {
    const count = failures > 0 ? `(${failures.toLocaleString('en')} failing) ` : '';
    document.title = `${cut ? '(not connected) ' : count}${title}`;
  }, [title, failures, cut]);

  useEffect(() => {
    document.querySelector('link[rel=icon]')?.setAttribute('href', `./${icon}.svg`);
  }, [icon]);
}
