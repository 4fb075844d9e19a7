// What stands where rows would: why there are none, and what to do.

import type { ReactNode } from 'react';
import styles from './Message.module.css';

interface Props {
  title: string;
  name: string;
  /** 1 where it is all that the page says. */
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
