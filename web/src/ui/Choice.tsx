// One of a few, all of them in sight.

import { useId } from 'react';
import styles from './Choice.module.css';

interface Props<T extends string> {
  label: string;
  value: T;
  choices: readonly (readonly [value: T, name: string])[];
  choose: (value: T) => void;
}

export function Choice<T extends string>({ label, value, choices, choose }: Props<T>) {
  const name = useId();
  return (
    <fieldset className={styles.choice}>
      <legend className="hidden">{label}</legend>
      {choices.map(([each, words]) => (
        <label key={each}>
          <input type="radio" name={name} checked={each === value} onChange={() => choose(each)} />
          {words}
        </label>
      ))}
    </fieldset>
  );
}
