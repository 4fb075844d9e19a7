// Light, dark or system theme.

import { changeSettings, type Settings, useSettings } from '../../settings';
import { Icon } from '../Icon';
import button from './IconButton.module.css';

type Theme = Settings['theme'];

const THEME_NAMES: Record<Theme, string> = { auto: 'system', light: 'light', dark: 'dark' };
const THEME_ICONS = { auto: 'auto', light: 'sun', dark: 'moon' } as const;
const NEXT_THEME: Record<Theme, Theme> = { auto: 'light', light: 'dark', dark: 'auto' };

export function nextTheme(theme: Theme): Theme {
  return NEXT_THEME[theme];
}

export function ThemeButton() {
  const { theme } = useSettings();
  const next = nextTheme(theme);
  const label = `Theme: ${THEME_NAMES[theme]}. Change to ${THEME_NAMES[next]}`;
  return (
    <button
      type="button"
      className={button.button}
      onClick={() => changeSettings({ theme: next })}
      aria-label={label}
      title={label}
    >
      <Icon name={THEME_ICONS[theme]} size={16} />
    </button>
  );
}
