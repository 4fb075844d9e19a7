// Breadcrumbs: all items but the last link to the parent pages.

import { escapeHidden } from '../model/text';
import styles from './Breadcrumbs.module.css';
import { Icon } from './Icon';

export interface Breadcrumb {
  text: string;
  href?: string | undefined;
}

export function Breadcrumbs({ items }: { items: readonly Breadcrumb[] }) {
  return (
    <nav className={styles.crumbs} aria-label="Breadcrumbs">
      <ol>
        {items.map(({ text, href }, index) => (
          <li key={text} aria-current={index === items.length - 1 ? 'page' : undefined}>
            {index > 0 && <Icon name="chevron" size={13} />}
            {href === undefined ? (
              <span title={text}>{escapeHidden(text)}</span>
            ) : (
              <a href={href}>{escapeHidden(text)}</a>
            )}
          </li>
        ))}
      </ol>
    </nav>
  );
}
