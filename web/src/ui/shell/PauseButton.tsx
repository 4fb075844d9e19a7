// Pauses updates, so that users can read or copy, and counts the changes since.

import { useLive, usePaused } from '../../live/hooks';
import { Icon } from '../Icon';
import button from './IconButton.module.css';
import styles from './PauseButton.module.css';

export function PauseButton() {
  const { store } = useLive();
  const { paused, pendingChanges } = usePaused();
  const label = paused ? 'Resume updates' : 'Pause updates';
  return (
    <>
      {paused && (
        <span className={styles.held} data-field="held">
          Paused
          {pendingChanges > 0 && (
            <span className={styles.count}> · {pendingChanges.toLocaleString('en')} changed</span>
          )}
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
        <Icon name={paused ? 'resume' : 'pause'} size={16} />
      </button>
    </>
  );
}
