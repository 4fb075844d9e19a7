// The frame around the pages, and which page is in it.

import { type ComponentType, lazy, Suspense } from 'react';
import styles from './App.module.css';
import { usePaused, useSync } from './live/hooks';
import { Overview } from './pages/overview/Overview';
import { href, type Page, type PageProps, type Route, useRoute } from './route';
import { Announcer } from './ui/Announcer';
import { ConnectionBanner } from './ui/Connection';
import { ErrorBoundary } from './ui/ErrorBoundary';
import { Message } from './ui/Message';
import { Habits } from './ui/shell/Habits';
import { usePast } from './ui/shell/past';
import { TopBar } from './ui/shell/TopBar';

/** A page that is not the first one comes when it is asked for. */
const later = (load: () => Promise<Record<string, unknown>>, name: string) =>
  lazy(async () => ({ default: (await load())[name] as ComponentType<PageProps> }));

const rest = () => import('./pages/later');

const Pulls = later(() => import('./pages/pulls/Pulls'), 'Pulls');
const Pull = later(rest, 'Pull');
const Images = later(rest, 'Images');
const Nodes = later(rest, 'Nodes');
const Failures = later(rest, 'Failures');
const Pod = later(rest, 'Pod');

const SCREENS: Record<Page, (route: Route) => ComponentType<PageProps>> = {
  overview: () => Overview,
  pulls: ({ path }) => (path.length > 0 ? Pull : Pulls),
  images: () => Images,
  nodes: () => Nodes,
  failures: () => Failures,
  pods: ({ path }) => (path.length === 2 ? Pod : Nowhere),
};

export function App() {
  const route = useRoute();
  const Screen = route.page === undefined ? Nowhere : SCREENS[route.page](route);
  const past = usePast();
  const sync = useSync();
  const { paused } = usePaused();
  return (
    <>
      <button type="button" className={styles.skip} onClick={() => document.getElementById('main')?.focus()}>
        Skip to content
      </button>
      <TopBar route={route} />
      <ConnectionBanner />
      <Announcer />
      <Habits route={route} />
      <main
        id="main"
        tabIndex={-1}
        className={`${styles.main} ${past ? styles.past : ''}`}
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

function Nowhere() {
  return (
    <Message name="nowhere" title="There is no such page" level={1}>
      <p>
        <a href={href('overview')}>Go to the overview</a>
      </p>
    </Message>
  );
}
