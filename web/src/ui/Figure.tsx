// A number and its unit, so that columns of them align and the unit stays quiet.

import { iec, NONE } from '../model/format';
import styles from './Figure.module.css';

export function Figure({ value, unit, field }: { value: string; unit?: string; field?: string }) {
  return (
    <span className={styles.figure} data-field={field}>
      {value}
      {unit && <small> {unit}</small>}
    </span>
  );
}

export function Bytes({ value, per, field }: { value: number | undefined; per?: 's'; field?: string }) {
  if (value === undefined || !Number.isFinite(value) || value < 0)
    return <Figure value={NONE} field={field} />;
  const [number, unit] = iec(value);
  return <Figure value={number} unit={per ? `${unit}/${per}` : unit} field={field} />;
}
