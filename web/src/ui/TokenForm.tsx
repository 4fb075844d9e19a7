// Where the server lets in only those who bring a token.

import { type FormEvent, useId, useState } from 'react';
import { useLive } from '../live/hooks';
import styles from './TokenForm.module.css';

export function TokenForm({ words }: { words: string }) {
  const { stream } = useLive();
  const [token, setToken] = useState('');
  const [tried, setTried] = useState<string>();
  const field = useId();
  const enter = (event: FormEvent) => {
    event.preventDefault();
    setTried(token);
    // What runs, runs with another one.
    stream.stop();
    stream.enter(token.trim());
  };
  return (
    <form className={styles.form} onSubmit={enter}>
      <label htmlFor={field}>
        {tried !== undefined && tried === token ? 'The server does not know this token (401).' : words}
      </label>
      <input
        id={field}
        type="password"
        autoComplete="off"
        spellCheck={false}
        value={token}
        onChange={(event) => setToken(event.target.value)}
      />
      <button type="submit" disabled={token.trim() === ''}>
        Enter
      </button>
    </form>
  );
}
