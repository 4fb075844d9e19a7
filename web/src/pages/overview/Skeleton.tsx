// A placeholder until data is loaded. No figures: a zero would be wrong.

import styles from './Skeleton.module.css';

const ROWS = ['a', 'b', 'c', 'd', 'e', 'f'];

export function Skeleton() {
  return (
    <div className={styles.skeleton} aria-hidden="true" data-message="loading">
      <i className={styles.head} />
      <div className={styles.rows}>
        {ROWS.map((row) => (
          <i key={row} />
        ))}
      </div>
      <div className={styles.rows}>
        {ROWS.slice(0, 3).map((row) => (
          <i key={row} />
        ))}
      </div>
    </div>
  );
}
