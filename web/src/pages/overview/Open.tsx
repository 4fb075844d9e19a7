// A link at the end of a heading, to where all of it is.

import type { ReactNode } from 'react';
import { Icon } from '../../ui/Icon';
import styles from './Open.module.css';

export function Open({ to, children }: { to: string; children: ReactNode }) {
  return (
    <a className={styles.open} href={to}>
      {children}
      <Icon name="chevron" size={13} />
    </a>
  );
}
