// The pulls of a group, one dot each, by how they stand. For the eye only: the bar beside them says the same.

import { memo } from 'react';
import { DOTS, type Dot, drawn } from '../model/groups';
import styles from './Dots.module.css';

/** So many fit into a line. */
const MOST = 32;

interface Props {
  dots: Readonly<Record<Dot, number>>;
}

export const Dots = memo(
  ({ dots }: Props) => {
    const { shown, rest } = drawn(dots, MOST);
    return (
      <span className={styles.dots} aria-hidden="true">
        {DOTS.flatMap((kind) =>
          Array.from({ length: shown[kind] }, (_, index) => (
            <i key={`${kind} ${index.toString()}`} className={styles[kind]} />
          )),
        )}
        {rest > 0 && <small>+{rest.toLocaleString('en')}</small>}
      </span>
    );
  },
  (a, b) => DOTS.every((kind) => a.dots[kind] === b.dots[kind]),
);
