// What stands where rows would: why there are none, and what to do.

import type { ReactNode } from 'react';
import styles from './Message.module.css';

export function Message({ title, name, children }: { title: string; name: string; children?: ReactNode }) {
  return (
    <section className={styles.message} data-message={name}>
      <h2>{title}</h2>
      {children}
    </section>
  );
}
