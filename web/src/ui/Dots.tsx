// The pulls of a group as dots, coloured by state. Decorative: the bar beside them has the text.

import { memo } from 'react';
import { DOT_STATES, type DotState, limitDots } from '../model/groups';
import styles from './Dots.module.css';

/** Dots that fit into one line. */
const MAX_DOTS = 32;

interface Props {
  dots: Readonly<Record<DotState, number>>;
}

export const Dots = memo(
  ({ dots }: Props) => {
    const { shown, rest } = limitDots(dots, MAX_DOTS);
    return (
      <span className={styles.dots} aria-hidden="true">
        {DOT_STATES.flatMap((kind) =>
          Array.from({ length: shown[kind] }, (_, index) => (
            <i key={`${kind} ${index.toString()}`} className={styles[kind]} />
          )),
        )}
        {rest > 0 && <small>+{rest.toLocaleString('en')}</small>}
      </span>
    );
  },
  (a, b) => DOT_STATES.every((kind) => a.dots[kind] === b.dots[kind]),
);
