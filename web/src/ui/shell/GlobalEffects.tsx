// Behaviour of all pages: keyboard shortcuts, tab title and icon, notices about the server.

import { useEffect, useMemo, useRef } from 'react';
import { useDataset, useLive, usePullName, useServer } from '../../live/hooks';
import { currentFailures } from '../../model/failures';
import { currentRoute as current, href, navigate, type Route, updateQuery } from '../../route';
import { changeSettings, settings } from '../../settings';
import { useIsDisconnected } from '../Connection';
import { isInteractive, isTextInput, keyAction, SEQUENCE_TIMEOUT_MS } from './keys';
import { ServerNotices } from './ServerNotices';
import { openShortcuts, ShortcutList } from './ShortcutList';
import { nextTheme } from './Theme';

export function GlobalEffects({ route }: { route: Route }) {
  useShortcuts(route);
  useTitle(route);
  return (
    <>
      <ServerNotices server={useServer()} />
      <ShortcutList />
    </>
  );
}

function useShortcuts(route: Route): void {
  const { store } = useLive();
  const gPressedAt = useRef(Number.NEGATIVE_INFINITY);
  // The list that Escape returns to from a detail page, with its filter.
  const listHash = useRef<string>(undefined);
  useEffect(() => {
    if (route.path.length === 0) listHash.current = window.location.hash;
  }, [route]);

  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      const { key, target } = event;
      if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
      if (event.isComposing || isTextInput(target) || document.querySelector('dialog[open]')) return;
      const afterG = performance.now() - gPressedAt.current < SEQUENCE_TIMEOUT_MS;
      gPressedAt.current = key === 'g' && !afterG ? performance.now() : Number.NEGATIVE_INFINITY;
      const action = keyAction(key, afterG);
      if (action === undefined || event.repeat || (action.do === 'pause' && isInteractive(target))) return;
      // The browser closes the popover; Escape must do no more.
      if (action.do === 'back' && document.querySelector('[popover][data-open]')) return;
      // Read the route now: a key may arrive before a new page has rendered.
      const { page, path } = current();
      switch (action.do) {
        case 'search':
          document.getElementById('search')?.focus();
          break;
        case 'pause':
          store.pause(!store.paused());
          break;
        case 'theme':
          changeSettings({ theme: nextTheme(settings().theme) });
          break;
        case 'keys':
          openShortcuts();
          break;
        case 'page':
          navigate(href(action.page));
          break;
        case 'group':
          if (path.length > 0 || (page !== 'overview' && page !== 'pulls')) return;
          updateQuery({ group: action.group });
          break;
        case 'back':
          if (path.length === 0) return;
          navigate(listHash.current ?? href(page === 'pods' ? 'overview' : (page ?? 'overview')));
          break;
      }
      event.preventDefault();
    };
    document.addEventListener('keydown', onKey);
    return () => document.removeEventListener('keydown', onKey);
  }, [store]);
}

const PAGE_NAMES = {
  overview: 'Overview',
  pulls: 'Pulls',
  images: 'Images',
  nodes: 'Nodes',
  failures: 'Failures',
  pods: 'Pods',
};

/** Sets the tab title, e.g. `(3 failing) Pulls · pulltrace`, and the matching icon. */
function useTitle({ page, path }: Route): void {
  const dataset = useDataset();
  const failures = useMemo(() => currentFailures(dataset).length, [dataset]);
  const isDisconnected = useIsDisconnected();
  const pull = usePullName(page === 'pulls' ? path[0] : undefined);
  const subject = pull ?? path.join('/');
  const view = page === undefined ? '' : subject === '' || page === 'failures' ? PAGE_NAMES[page] : subject;
  const title = [view, 'pulltrace'].filter(Boolean).join(' · ');
  const icon = isDisconnected ? 'favicon-lost' : failures > 0 ? 'favicon-failing' : 'favicon';

  useEffect(() => {
    const count = failures > 0 ? `(${failures.toLocaleString('en')} failing) ` : '';
    document.title = `${isDisconnected ? '(disconnected) ' : count}${title}`;
  }, [title, failures, isDisconnected]);

  useEffect(() => {
    document.querySelector('link[rel=icon]')?.setAttribute('href', `./${icon}.svg`);
  }, [icon]);
}
