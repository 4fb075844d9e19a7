// Asks for the access token.

import { type FormEvent, useId, useState } from 'react';
import { useLive } from '../live/hooks';
import styles from './TokenForm.module.css';

export function TokenForm({ prompt }: { prompt: string }) {
  const { stream } = useLive();
  const [token, setToken] = useState('');
  const [rejected, setRejected] = useState<string>();
  const fieldId = useId();
  const onSubmit = (event: FormEvent) => {
    event.preventDefault();
    setRejected(token);
    // Reconnect with the new token.
    stream.stop();
    stream.setToken(token.trim());
  };
  return (
    <form className={styles.form} onSubmit={onSubmit}>
      <label htmlFor={fieldId}>
        {rejected !== undefined && rejected === token ? 'Invalid token (401).' : prompt}
      </label>
      <input
        id={fieldId}
        type="password"
        autoComplete="off"
        spellCheck={false}
        value={token}
        onChange={(event) => setToken(event.target.value)}
      />
      <button type="submit" disabled={token.trim() === ''}>
        Apply
      </button>
    </form>
  );
}
