// Light, dark, or as the system has it. The choice is kept in this browser.

import { useState } from 'react';
import { Icon } from './Icon';
import styles from './Theme.module.css';

const KEY = 'pulltrace.theme';
const THEMES = ['auto', 'light', 'dark'] as const;
type Theme = (typeof THEMES)[number];

const NAMES: Record<Theme, string> = { auto: 'as the system', light: 'light', dark: 'dark' };
const ICONS = { auto: 'auto', light: 'sun', dark: 'moon' } as const;

function kept(): Theme {
  try {
    const value = localStorage.getItem(KEY);
    return THEMES.find((theme) => theme === value) ?? 'auto';
  } catch {
    // Storage may be forbidden; the page works without.
    return 'auto';
  }
}

function apply(theme: Theme): void {
  if (theme === 'auto') delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
}

/** Before the first drawing, so that nothing flashes. */
export function applyTheme(): void {
  apply(kept());
}

export function ThemeButton() {
  const [theme, setTheme] = useState(kept);
  const next = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length] ?? 'auto';
  const choose = () => {
    setTheme(next);
    apply(next);
    try {
      localStorage.setItem(KEY, next);
    } catch {
      // It holds until the page is closed.
    }
  };
  const label = `Theme: ${NAMES[theme]}. Change to ${NAMES[next]}`;
  return (
    <button type="button" className={styles.theme} onClick={choose} aria-label={label} title={label}>
      <Icon name={ICONS[theme]} size={16} />
    </button>
  );
}
