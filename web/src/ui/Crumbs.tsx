// Where a page is among the others: each step but the last leads back.

import { visible } from '../model/text';
import styles from './Crumbs.module.css';
import { Icon } from './Icon';

export interface Step {
  text: string;
  href?: string | undefined;
}

export function Crumbs({ steps }: { steps: readonly Step[] }) {
  return (
    <nav className={styles.crumbs} aria-label="Where this is">
      <ol>
        {steps.map(({ text, href }, index) => (
          <li key={text} aria-current={index === steps.length - 1 ? 'page' : undefined}>
            {index > 0 && <Icon name="chevron" size={13} />}
            {href === undefined ? (
              <span title={text}>{visible(text)}</span>
            ) : (
              <a href={href}>{visible(text)}</a>
            )}
          </li>
        ))}
      </ol>
    </nav>
  );
}
