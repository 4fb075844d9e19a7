// An empty state, with its cause and next steps.

import type { ReactNode } from 'react';
import styles from './Message.module.css';

interface Props {
  title: string;
  name: string;
  /** 1 if it is the only content of the page. */
  level?: 1 | 2;
  children?: ReactNode;
}

export function Message({ title, name, level = 2, children }: Props) {
  const Heading = `h${level}` as const;
  return (
    <section className={styles.message} data-message={name}>
      <Heading>{title}</Heading>
      {children}
    </section>
  );
}
