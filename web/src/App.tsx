// The app frame, and routing to the pages.

import { type ComponentType, lazy, Suspense } from 'react';
import styles from './App.module.css';
import { usePaused, useSyncState } from './live/hooks';
import { Overview } from './pages/overview/Overview';
import { href, type Page, type PageProps, type Route, useRoute } from './route';
import { Announcer } from './ui/Announcer';
import { ConnectionBanner } from './ui/Connection';
import { ErrorBoundary } from './ui/ErrorBoundary';
import { Message } from './ui/Message';
import { GlobalEffects } from './ui/shell/GlobalEffects';
import { useIsStale } from './ui/shell/stale';
import { TopBar } from './ui/shell/TopBar';

/** Pages other than the overview are loaded on demand. */
const lazyPage = (load: () => Promise<Record<string, unknown>>, name: string) =>
  lazy(async () => ({ default: (await load())[name] as ComponentType<PageProps> }));

const loadPages = () => import('./pages/lazyPages');

const Pulls = lazyPage(() => import('./pages/pulls/Pulls'), 'Pulls');
const Pull = lazyPage(loadPages, 'Pull');
const Images = lazyPage(loadPages, 'Images');
const Nodes = lazyPage(loadPages, 'Nodes');
const Failures = lazyPage(loadPages, 'Failures');
const Pod = lazyPage(loadPages, 'Pod');

const SCREENS: Record<Page, (route: Route) => ComponentType<PageProps>> = {
  overview: () => Overview,
  pulls: ({ path }) => (path.length > 0 ? Pull : Pulls),
  images: () => Images,
  nodes: () => Nodes,
  failures: () => Failures,
  pods: ({ path }) => (path.length === 2 ? Pod : NotFound),
};

export function App() {
  const route = useRoute();
  const Screen = route.page === undefined ? NotFound : SCREENS[route.page](route);
  const isStale = useIsStale();
  const sync = useSyncState();
  const { paused } = usePaused();
  return (
    <>
      <button type="button" className={styles.skip} onClick={() => document.getElementById('main')?.focus()}>
        Skip to content
      </button>
      <TopBar route={route} />
      <ConnectionBanner />
      <Announcer />
      <GlobalEffects route={route} />
      <main
        id="main"
        tabIndex={-1}
        className={`${styles.main} ${isStale ? styles.past : ''}`}
        data-sync={sync}
        data-held={paused || undefined}
      >
        <ErrorBoundary key={`${route.page} ${route.path.join(' ')}`}>
          <Suspense fallback={<h1 className="hidden">Loading</h1>}>
            <Screen route={route} />
          </Suspense>
        </ErrorBoundary>
      </main>
    </>
  );
}

function NotFound() {
  return (
    <Message name="nowhere" title="Page not found" level={1}>
      <p>
        <a href={href('overview')}>Go to overview</a>
      </p>
    </Message>
  );
}
