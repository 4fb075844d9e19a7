// The dialog with all keyboard shortcuts.

import { Fragment } from 'react';
import { Icon } from '../Icon';
import button from './IconButton.module.css';
import { SHORTCUTS } from './keys';
import styles from './ShortcutList.module.css';

const ID = 'keys';

export function openShortcuts(): void {
  const dialog = document.getElementById(ID);
  if (dialog instanceof HTMLDialogElement && !dialog.open) dialog.showModal();
}

const close = () => {
  const dialog = document.getElementById(ID);
  if (dialog instanceof HTMLDialogElement) dialog.close();
};

export function ShortcutList() {
  return (
    <dialog id={ID} className={styles.window} aria-labelledby="keys-title">
      <header className={styles.head}>
        <h2 id="keys-title">Shortcuts</h2>
        <button type="button" className={button.button} aria-label="Close" onClick={close}>
          <Icon name="close" size={16} />
        </button>
      </header>
      <dl className={styles.keys}>
        {SHORTCUTS.map(({ keys, isAlternative, description }) => (
          <div key={description}>
            <dt>
              {keys.map((key, index) => (
                <Fragment key={key}>
                  {index > 0 && !isAlternative && <span className={styles.then}>then</span>}
                  <kbd>{key}</kbd>
                </Fragment>
              ))}
            </dt>
            <dd>{description}</dd>
          </div>
        ))}
      </dl>
    </dialog>
  );
}
