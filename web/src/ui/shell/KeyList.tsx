// All keys of the page, in a window over it.

import { Fragment } from 'react';
import { Icon } from '../Icon';
import button from './IconButton.module.css';
import styles from './KeyList.module.css';
import { KEYS } from './keys';

const ID = 'keys';

export function openKeys(): void {
  const dialog = document.getElementById(ID);
  if (dialog instanceof HTMLDialogElement && !dialog.open) dialog.showModal();
}

const close = () => {
  const dialog = document.getElementById(ID);
  if (dialog instanceof HTMLDialogElement) dialog.close();
};

export function KeyList() {
  return (
    <dialog id={ID} className={styles.window} aria-labelledby="keys-title">
      <header className={styles.head}>
        <h2 id="keys-title">Keyboard</h2>
        <button type="button" className={button.button} aria-label="Close" onClick={close}>
          <Icon name="close" size={16} />
        </button>
      </header>
      <dl className={styles.keys}>
        {KEYS.map(({ keys, or, what }) => (
          <div key={what}>
            <dt>
              {keys.map((key, index) => (
                <Fragment key={key}>
                  {index > 0 && !or && <span className={styles.then}>then</span>}
                  <kbd>{key}</kbd>
                </Fragment>
              ))}
            </dt>
            <dd>{what}</dd>
          </div>
        ))}
      </dl>
    </dialog>
  );
}
