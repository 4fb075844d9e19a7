// User settings, kept in this browser only.

import { useMemo, useSyncExternalStore } from 'react';
import { type Format, format } from './model/format';

const OPTIONS = {
  theme: ['auto', 'light', 'dark'],
  density: ['comfortable', 'compact'],
  /**
   * `iec`: MiB, as Kubernetes counts. `si`: MB, as registries print. `bits`: MB, and speeds in
   * Mbit/s.
   */
  units: ['iec', 'si', 'bits'],
  zone: ['utc', 'local'],
} as const;

export type Settings = { [Name in keyof typeof OPTIONS]: (typeof OPTIONS)[Name][number] };

const STORAGE_KEY = 'pulltrace.settings';

/** Parses stored settings. Invalid values are replaced by the first option. */
export function parseSettings(text: string | null): Settings {
  let stored: Record<string, unknown> = {};
  try {
    const value: unknown = JSON.parse(text ?? '');
    if (typeof value === 'object' && value !== null) stored = value as Record<string, unknown>;
  } catch {
    // Missing or invalid JSON.
  }
  const entries = Object.entries(OPTIONS).map(([name, values]) => [
    name,
    values.find((choice) => choice === stored[name]) ?? values[0],
  ]);
  return Object.fromEntries(entries) as Settings;
}

function loadSettings(): Settings {
  try {
    return parseSettings(localStorage.getItem(STORAGE_KEY));
  } catch {
    // Storage may be blocked; the page works without it.
    return parseSettings(null);
  }
}

let current: Settings = loadSettings();
const listeners = new Set<() => void>();

/** Applies theme and density, which the style sheet uses. */
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
    localStorage.setItem(STORAGE_KEY, JSON.stringify(current));
  } catch {
    // The change lasts until the page is closed.
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

/** Formats numbers and times by the user's settings. */
export function useFormat(): Format {
  const { units, zone } = useSettings();
  return useMemo(() => format(units, zone), [units, zone]);
}
