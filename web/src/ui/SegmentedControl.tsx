// Radio buttons in a row, for a few options.

import { useId } from 'react';
import styles from './SegmentedControl.module.css';

interface Props<T extends string> {
  label: string;
  value: T;
  options: readonly (readonly [value: T, name: string])[];
  onSelect: (value: T) => void;
}

export function SegmentedControl<T extends string>({ label, value, options, onSelect }: Props<T>) {
  const name = useId();
  return (
    <fieldset className={styles.choice}>
      <legend className="hidden">{label}</legend>
      {options.map(([option, optionLabel]) => (
        <label key={option}>
          <input type="radio" name={name} checked={option === value} onChange={() => onSelect(option)} />
          {optionLabel}
        </label>
      ))}
    </fieldset>
  );
}
