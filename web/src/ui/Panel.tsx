// A framed section of a page with a heading.

import { type ReactNode, useId } from 'react';
import styles from './Panel.module.css';

interface Props {
  title: string;
  /** Muted, beside the title: usually a count. */
  summary?: ReactNode;
  /** At the end of the heading: controls or a link. */
  actions?: ReactNode;
  children: ReactNode;
  className?: string;
}

export function Panel({ title, summary, actions, children, className = '' }: Props) {
  const id = useId();
  return (
    <section className={`${styles.panel} ${className}`} aria-labelledby={id}>
      <header className={styles.head}>
        <h2 id={id}>{title}</h2>
        {summary !== undefined && (
          <span className={styles.more} data-field="count">
            {summary}
          </span>
        )}
        {actions !== undefined && <span className={styles.beside}>{actions}</span>}
      </header>
      {children}
    </section>
  );
}
