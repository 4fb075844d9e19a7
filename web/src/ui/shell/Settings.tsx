// How the reader wants the page.

import { Icon } from '../Icon';
import button from './IconButton.module.css';

export function SettingsButton() {
  return (
    <button type="button" className={button.button} aria-label="Settings" title="Settings">
      <Icon name="settings" size={16} />
    </button>
  );
}
