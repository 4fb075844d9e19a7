// Commands to copy: what each tells, and where it is run.

import { memo } from 'react';
import type { Commands } from '../model/commands';
import styles from './CommandList.module.css';
import { Copy } from './Copy';

export const CommandList = memo(({ commands }: { commands: readonly Commands[] }) =>
  commands.map(({ where, commands: each }) => (
    <section key={where} className={styles.place}>
      <h3>{where}</h3>
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
