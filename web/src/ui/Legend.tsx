// What the colours and patterns of the bars stand for.

import styles from './Legend.module.css';

const KEYS = [
  ['downloaded', 'downloaded'],
  ['extracted', 'extracted'],
  ['extracting', 'extracting'],
  ['cached', 'on the node before'],
] as const;

export function Legend() {
  return (
    <ul className={styles.legend} aria-label="What the bars show">
      {KEYS.map(([key, words]) => (
        <li key={key}>
          <i className={styles[key]} />
          {words}
        </li>
      ))}
    </ul>
  );
}
