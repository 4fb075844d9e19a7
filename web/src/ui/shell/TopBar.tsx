// Always there: where one can go, what to look for, whether the page is live.

import { useMemo } from 'react';
import { useAll, useServer } from '../../live/hooks';
import { failing } from '../../model/failures';
import { isLive } from '../../model/pull';
import { href, type Page, type Route } from '../../route';
import { ConnectionState } from '../Connection';
import { Logo } from '../Icon';
import { HoldButton } from './HoldButton';
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
        <span className={styles.cluster} title="The cluster">
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
      <HoldButton />
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

/** How many pulls go on, and how many failures there are. */
function useCounts(): Partial<Record<Page, number>> {
  const all = useAll();
  return useMemo(() => {
    let pulls = 0;
    for (const row of all.rows.values()) if (isLive(row)) pulls += 1;
    return { pulls, failures: failing(all).length };
  }, [all]);
}
