// How this reader wants the page: kept in this browser, and nowhere else.

import { useMemo, useSyncExternalStore } from 'react';
import { type Format, format } from './model/format';

const CHOICES = {
  theme: ['auto', 'light', 'dark'],
  density: ['comfortable', 'compact'],
  /** `iec`: MiB, as Kubernetes counts. `si`: MB, as registries print. `bits`: MB, and speeds in Mbit/s. */
  units: ['iec', 'si', 'bits'],
  zone: ['utc', 'local'],
} as const;

export type Settings = { [Name in keyof typeof CHOICES]: (typeof CHOICES)[Name][number] };

const KEY = 'pulltrace.settings';

/** What is kept, as far as it is a choice; the first choice of each for the rest. */
export function understand(text: string | null): Settings {
  let kept: Record<string, unknown> = {};
  try {
    const value: unknown = JSON.parse(text ?? '');
    if (typeof value === 'object' && value !== null) kept = value as Record<string, unknown>;
  } catch {
    // Nothing was kept, or by another program.
  }
  const chosen = Object.entries(CHOICES).map(([name, choices]) => [
    name,
    choices.find((choice) => choice === kept[name]) ?? choices[0],
  ]);
  return Object.fromEntries(chosen) as Settings;
}

function read(): Settings {
  try {
    return understand(localStorage.getItem(KEY));
  } catch {
    // Storage may be forbidden; the page works without.
    return understand(null);
  }
}

let current: Settings = read();
const listeners = new Set<() => void>();

/** Theme and density are the style sheet's business. */
export function applySettings(): void {
  const { theme, density } = current;
  const root = document.documentElement;
  if (theme === 'auto') delete root.dataset.theme;
  else root.dataset.theme = theme;
  root.dataset.density = density;
}

export const settings = (): Settings => current;

export function changeSettings(changes: Partial<Settings>): void {
  current = { ...current, ...changes };
  applySettings();
  try {
    localStorage.setItem(KEY, JSON.stringify(current));
  } catch {
    // It holds until the page is closed.
  }
  for (const listener of listeners) listener();
}

function onSettings(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export function useSettings(): Settings {
  return useSyncExternalStore(onSettings, settings);
}

/** Numbers and times as this reader wants them. */
export function useFormat(): Format {
  const { units, zone } = useSettings();
  return useMemo(() => format(units, zone), [units, zone]);
}
