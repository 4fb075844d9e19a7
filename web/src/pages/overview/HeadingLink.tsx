// A link at the end of a panel heading, to the full page.

import type { ReactNode } from 'react';
import { Icon } from '../../ui/Icon';
import styles from './HeadingLink.module.css';

export function HeadingLink({ to, children }: { to: string; children: ReactNode }) {
  return (
    <a className={styles.open} href={to}>
      {children}
      <Icon name="chevron" size={13} />
    </a>
  );
}
