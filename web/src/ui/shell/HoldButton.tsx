// Holds the page still, so that somebody can read or copy what is there; and says how much has changed meanwhile.

import { useLive, usePaused } from '../../live/hooks';
import { Icon } from '../Icon';
import styles from './Hold.module.css';
import button from './IconButton.module.css';

export function HoldButton() {
  const { store } = useLive();
  const { paused, waiting } = usePaused();
  const label = paused ? 'Go on with updates' : 'Hold updates';
  return (
    <>
      {paused && (
        <span className={styles.held} data-field="held">
          Held
          {waiting > 0 && <span className={styles.count}> · {waiting.toLocaleString('en')} changed</span>}
        </span>
      )}
      <button
        type="button"
        className={`${button.button} ${paused ? button.on : ''}`}
        aria-label={label}
        title={label}
        aria-pressed={paused}
        onClick={() => store.pause(!paused)}
      >
        <Icon name={paused ? 'resume' : 'hold'} size={16} />
      </button>
    </>
  );
}
