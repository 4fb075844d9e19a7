// Numbers as people read them, the same words as the terminal has: `12.3 MiB`, `61 %`, `1 m 05 s`.
// What is unknown is an en dash, never a zero.

export const NONE = '–';

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB'];

const known = (value: number | null | undefined): value is number =>
  typeof value === 'number' && Number.isFinite(value) && value >= 0;

/** A number and its unit apart, so that the unit can be set more quietly. */
export function iec(value: number): [number: string, unit: string] {
  let unit = 0;
  let rest = value;
  // 999.5 would print as four digits, so the next unit begins there.
  while (rest >= 999.5 && unit + 1 < UNITS.length) {
    rest /= 1024;
    unit += 1;
  }
  const digits = unit === 0 || rest >= 99.95 ? 0 : rest >= 9.995 ? 1 : 2;
  return [rest.toFixed(digits), UNITS[unit] ?? ''];
}

export function bytes(value: number | null | undefined): string {
  return known(value) ? iec(value).join(' ') : NONE;
}

export function speed(value: number | null | undefined): string {
  return known(value) ? `${iec(value).join(' ')}/s` : NONE;
}

/** Whole percents, rounded down: `100 %` is only ever said of 100. */
export function percent(value: number | null | undefined): string {
  return known(value) ? `${Math.floor(Math.min(value, 100))} %` : NONE;
}

const two = (value: number): string => String(value).padStart(2, '0');

/** Whole seconds, never more precise than anybody needs: `< 1 s`, `12 s`, `2 m 10 s`, `1 h 05 m`, `3 d 4 h`. */
export function seconds(value: number | null | undefined): string {
  if (!known(value)) return NONE;
  const s = Math.floor(value);
  if (s < 1) return '< 1 s';
  if (s < 60) return `${s} s`;
  if (s < 3_600) return `${Math.floor(s / 60)} m ${two(s % 60)} s`;
  if (s < 86_400) return `${Math.floor(s / 3_600)} h ${two(Math.floor(s / 60) % 60)} m`;
  return `${Math.floor(s / 86_400)} d ${Math.floor(s / 3_600) % 24} h`;
}

/** How long something took: `0.4 s`, `12.3 s`, `2 m 10 s`. */
export function duration(value: number | null | undefined): string {
  if (!known(value)) return NONE;
  return value < 60 ? `${(Math.floor(value * 10) / 10).toFixed(1)} s` : seconds(value);
}

/** Time left, coarser the more of it there is, so that it does not flicker: `~12 s`, `~45 s`, `~2 m 10 s`. */
export function left(value: number | null | undefined): string {
  if (!known(value)) return NONE;
  if (value < 1) return '< 1 s';
  const step = value < 20 ? 1 : value < 60 ? 5 : value < 600 ? 10 : 60;
  return `~${seconds(Math.max(1, Math.round(value / step) * step))}`;
}

/** `1 m 40 s to 4 m 00 s`, where the range is so wide that the guess alone would mislead. */
export function range(
  value: number | undefined,
  low: number | undefined,
  high: number | undefined,
): string | undefined {
  if (!known(value) || !known(low) || !known(high)) return undefined;
  return high - low > Math.max(value / 2, 2) ? `${seconds(low)} to ${seconds(high)}` : undefined;
}

/** `1 layer`, `3 layers`. */
export function count(value: number, one: string, many = `${one}s`): string {
  return `${value.toLocaleString('en')} ${value === 1 ? one : many}`;
}

/** Milliseconds of an instant of the wire; undefined where it is none. */
export function instant(text: string | undefined): number | undefined {
  const value = text === undefined ? Number.NaN : Date.parse(text);
  return Number.isNaN(value) ? undefined : value;
}
