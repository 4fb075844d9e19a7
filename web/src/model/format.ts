// Numbers as people read them, the same words as the terminal has: `12.3 MiB`, `61 %`, `1 m 05 s`.
// What is unknown is an en dash, never a zero.

export const NONE = '–';

export type Units = 'iec' | 'si' | 'bits';
export type Zone = 'utc' | 'local';

const NAMES = {
  iec: ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB'],
  si: ['B', 'kB', 'MB', 'GB', 'TB', 'PB', 'EB'],
  bits: ['bit', 'kbit', 'Mbit', 'Gbit', 'Tbit', 'Pbit', 'Ebit'],
};

const known = (value: number | null | undefined): value is number =>
  typeof value === 'number' && Number.isFinite(value) && value >= 0;

/** A number and its unit apart, so that the unit can be set more quietly. */
function scaled(value: number, names: readonly string[], step: number): [number: string, unit: string] {
  let unit = 0;
  let rest = value;
  // 999.5 would print as four digits, so the next unit begins there.
  while (rest >= 999.5 && unit + 1 < names.length) {
    rest /= step;
    unit += 1;
  }
  const digits = unit === 0 || rest >= 99.95 ? 0 : rest >= 9.995 ? 1 : 2;
  return [rest.toFixed(digits), names[unit] ?? ''];
}

/** `12.3`, `MiB` */
export function amount(value: number, units: Units = 'iec'): [number: string, unit: string] {
  return units === 'iec' ? scaled(value, NAMES.iec, 1024) : scaled(value, NAMES.si, 1000);
}

/** `12.3`, `MiB/s` */
export function rate(value: number, units: Units = 'iec'): [number: string, unit: string] {
  const [number, unit] = units === 'bits' ? scaled(value * 8, NAMES.bits, 1000) : amount(value, units);
  return [number, `${unit}/s`];
}

export function bytes(value: number | null | undefined, units?: Units): string {
  return known(value) ? amount(value, units).join(' ') : NONE;
}

export function speed(value: number | null | undefined, units?: Units): string {
  return known(value) ? rate(value, units).join(' ') : NONE;
}

const clocks = new Map<string, Intl.DateTimeFormat>();

/** `03:54:18`; an en dash of what is no instant. */
export function clock(at: number | undefined, zone: Zone = 'utc', precise = true): string {
  if (at === undefined || Number.isNaN(at)) return NONE;
  const key = `${zone} ${precise}`;
  const found =
    clocks.get(key) ??
    new Intl.DateTimeFormat('en-GB', {
      hour: '2-digit',
      minute: '2-digit',
      ...(precise ? { second: '2-digit' } : {}),
      ...(zone === 'utc' ? { timeZone: 'UTC' } : {}),
    });
  clocks.set(key, found);
  return found.format(at);
}

/** What depends on how a reader wants it. */
export interface Format {
  bytes: (value: number | null | undefined) => string;
  speed: (value: number | null | undefined) => string;
  /** Number and unit apart; a dash and no unit of what is unknown. */
  amount: (value: number | null | undefined) => [number: string, unit: string];
  rate: (value: number | null | undefined) => [number: string, unit: string];
  /** `03:54:18`, and without seconds where that is not asked for. */
  clock: (at: number | undefined, precise?: boolean) => string;
  /** `UTC`, or nothing where times are local. */
  zone: string;
}

export function format(units: Units, zone: Zone): Format {
  return {
    bytes: (value) => bytes(value, units),
    speed: (value) => speed(value, units),
    amount: (value) => (known(value) ? amount(value, units) : [NONE, '']),
    rate: (value) => (known(value) ? rate(value, units) : [NONE, '']),
    clock: (at, precise) => clock(at, zone, precise),
    zone: zone === 'utc' ? 'UTC' : '',
  };
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

/** A span that somebody has set: `15 minutes`, `1 hour`, and else as `seconds` says it. */
export function lasting(value: number): string {
  if (value % 3_600 === 0 && value > 0) return count(value / 3_600, 'hour');
  return value % 60 === 0 && value > 0 ? count(value / 60, 'minute') : seconds(value);
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
