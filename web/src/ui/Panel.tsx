// A framed part of a page, with a heading and what is beside it.

import { type ReactNode, useId } from 'react';
import styles from './Panel.module.css';

interface Props {
  title: string;
  /** Quietly beside the title: how many there are. */
  more?: ReactNode;
  /** At the end of the heading: a choice, a link. */
  beside?: ReactNode;
  children: ReactNode;
  className?: string;
}

export function Panel({ title, more, beside, children, className = '' }: Props) {
  const id = useId();
  return (
    <section className={`${styles.panel} ${className}`} aria-labelledby={id}>
      <header className={styles.head}>
        <h2 id={id}>{title}</h2>
        {more !== undefined && <span className={styles.more}>{more}</span>}
        {beside !== undefined && <span className={styles.beside}>{beside}</span>}
      </header>
      {children}
    </section>
  );
}
