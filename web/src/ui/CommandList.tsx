// Commands to copy, grouped by where to run them.

import { memo } from 'react';
import type { CommandGroup } from '../model/commands';
import styles from './CommandList.module.css';
import { Copy } from './Copy';

export const CommandList = memo(({ commands }: { commands: readonly CommandGroup[] }) =>
  commands.map(({ place, commands: each }) => (
    <section key={place} className={styles.place}>
      <h3>{place}</h3>
      <ul>
        {each.map(({ title, text }) => (
          <li key={title} className={styles.command}>
            <span className={styles.title}>{title}</span>
            <code>{text}</code>
            <Copy text={text} label={`Copy: ${title}`} />
          </li>
        ))}
      </ul>
    </section>
  )),
);
