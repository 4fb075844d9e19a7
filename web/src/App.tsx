// The frame around the pages.

import styles from './App.module.css';
import { Live } from './pages/Live';
import { Announcer } from './ui/Announcer';
import { ConnectionBanner, ConnectionState } from './ui/Connection';
import { ErrorBoundary } from './ui/ErrorBoundary';
import { Logo } from './ui/Icon';
import { ThemeButton } from './ui/Theme';

export function App() {
  return (
    <>
      <header className={styles.top}>
        <span className={styles.logo}>
          <Logo />
          pulltrace
        </span>
        <span className={styles.space} />
        <ConnectionState />
        <ThemeButton />
      </header>
      <ConnectionBanner />
      <Announcer />
      <ErrorBoundary>
        <Live />
      </ErrorBoundary>
    </>
  );
}
