// The top bar: navigation, search and connection state.

import { useMemo } from 'react';
import { useDataset, useServer } from '../../live/hooks';
import { currentFailures } from '../../model/failures';
import { isLive } from '../../model/pull';
import { href, type Page, type Route } from '../../route';
import { ConnectionState } from '../Connection';
import { Logo } from '../Icon';
import { PauseButton } from './PauseButton';
import { Search } from './Search';
import { SettingsButton } from './Settings';
import { ThemeButton } from './Theme';
import styles from './TopBar.module.css';

const PAGES: readonly [Page, string][] = [
  ['overview', 'Overview'],
  ['pulls', 'Pulls'],
  ['images', 'Images'],
  ['nodes', 'Nodes'],
  ['failures', 'Failures'],
];

export function TopBar({ route }: { route: Route }) {
  const counts = useCounts();
  const cluster = useServer()?.clusterName;
  return (
    <header className={styles.top}>
      <a className={styles.logo} href={href('overview')} aria-label="pulltrace, overview">
        <Logo />
        pulltrace
      </a>
      {cluster && (
        <span className={styles.cluster} title="Cluster">
          {cluster}
        </span>
      )}
      <nav className={styles.pages} aria-label="Pages">
        {PAGES.map(([page, name]) => (
          <a key={page} href={href(page)} aria-current={route.page === page ? 'page' : undefined}>
            {name}
            <Count page={page} value={counts[page]} />
          </a>
        ))}
      </nav>
      <span className={styles.space} />
      <Search route={route} />
      <ConnectionState />
      <PauseButton />
      <ThemeButton />
      <SettingsButton />
    </header>
  );
}

function Count({ page, value }: { page: Page; value: number | undefined }) {
  if (!value) return null;
  return (
    <span className={`${styles.count} ${page === 'failures' ? styles.bad : ''}`}>
      {value.toLocaleString('en')}
    </span>
  );
}

/** Counts live pulls and failures. */
function useCounts(): Partial<Record<Page, number>> {
  const dataset = useDataset();
  return useMemo(() => {
    let pulls = 0;
    for (const row of dataset.rows.values()) if (isLive(row)) pulls += 1;
    return { pulls, failures: currentFailures(dataset).length };
  }, [dataset]);
}
