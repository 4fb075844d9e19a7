// A number with its unit, aligned in columns and with the unit muted.

import { useFormat } from '../settings';
import styles from './Figure.module.css';

export function Figure({ value, unit, field }: { value: string; unit?: string; field?: string }) {
  return (
    <span className={styles.figure} data-field={field}>
      {value}
      {unit && <small> {unit}</small>}
    </span>
  );
}

/** A size in the user's units, or with `per` a rate. */
export function Bytes({ value, per, field }: { value: number | undefined; per?: 's'; field?: string }) {
  const { amount, rate } = useFormat();
  const [number, unit] = per ? rate(value) : amount(value);
  return <Figure value={number} unit={unit} field={field} />;
}
