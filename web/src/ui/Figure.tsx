// A number and its unit, so that columns of them align and the unit stays quiet.

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

/** An amount of bytes in the reader's units; with `per`, how many a second. */
export function Bytes({ value, per, field }: { value: number | undefined; per?: 's'; field?: string }) {
  const { amount, rate } = useFormat();
  const [number, unit] = per ? rate(value) : amount(value);
  return <Figure value={number} unit={unit} field={field} />;
}
