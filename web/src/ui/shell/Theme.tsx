// Light, dark, or as the system has it.

import { changeSettings, type Settings, useSettings } from '../../settings';
import { Icon } from '../Icon';
import button from './IconButton.module.css';

type Theme = Settings['theme'];

const NAMES: Record<Theme, string> = { auto: 'as the system', light: 'light', dark: 'dark' };
const ICONS = { auto: 'auto', light: 'sun', dark: 'moon' } as const;
const NEXT: Record<Theme, Theme> = { auto: 'light', light: 'dark', dark: 'auto' };

export function nextTheme(theme: Theme): Theme {
  return NEXT[theme];
}

export function ThemeButton() {
  const { theme } = useSettings();
  const next = nextTheme(theme);
  const label = `Theme: ${NAMES[theme]}. Change to ${NAMES[next]}`;
  return (
    <button
      type="button"
      className={button.button}
      onClick={() => changeSettings({ theme: next })}
      aria-label={label}
      title={label}
    >
      <Icon name={ICONS[theme]} size={16} />
    </button>
  );
}
