// Formats numbers like the CLI does: `12.3 MiB`, `61 %`, `1 m 05 s`. Unknown values are an en dash,
// never zero.

export const UNKNOWN = '–';

export type Units = 'iec' | 'si' | 'bits';
export type Zone = 'utc' | 'local';

const UNIT_NAMES = {
  iec: ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB'],
  si: ['B', 'kB', 'MB', 'GB', 'TB', 'PB', 'EB'],
  bits: ['bit', 'kbit', 'Mbit', 'Gbit', 'Tbit', 'Pbit', 'Ebit'],
};

const isKnown = (value: number | null | undefined): value is number =>
  typeof value === 'number' && Number.isFinite(value) && value >= 0;

/** Returns number and unit separately, so that the unit can be styled. */
function scale(value: number, names: readonly string[], step: number): [number: string, unit: string] {
  let unit = 0;
  let scaled = value;
  // 999.5 would print with four digits, so the next unit starts there.
  while (scaled >= 999.5 && unit + 1 < names.length) {
    scaled /= step;
    unit += 1;
  }
  const digits = unit === 0 || scaled >= 99.95 ? 0 : scaled >= 9.995 ? 1 : 2;
  return [scaled.toFixed(digits), names[unit] ?? ''];
}

/** `12.3`, `MiB` */
export function amount(value: number, units: Units = 'iec'): [number: string, unit: string] {
  return units === 'iec' ? scale(value, UNIT_NAMES.iec, 1024) : scale(value, UNIT_NAMES.si, 1000);
}

/** `12.3`, `MiB/s` */
export function rate(value: number, units: Units = 'iec'): [number: string, unit: string] {
  const [number, unit] = units === 'bits' ? scale(value * 8, UNIT_NAMES.bits, 1000) : amount(value, units);
  return [number, `${unit}/s`];
}

export function bytes(value: number | null | undefined, units?: Units): string {
  return isKnown(value) ? amount(value, units).join(' ') : UNKNOWN;
}

export function speed(value: number | null | undefined, units?: Units): string {
  return isKnown(value) ? rate(value, units).join(' ') : UNKNOWN;
}

const clocks = new Map<string, Intl.DateTimeFormat>();

/** `03:54:18`; an en dash for an invalid time. */
export function clock(at: number | undefined, zone: Zone = 'utc', precise = true): string {
  if (at === undefined || Number.isNaN(at)) return UNKNOWN;
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

/** Formatting functions that depend on the user's settings. */
export interface Format {
  bytes: (value: number | null | undefined) => string;
  speed: (value: number | null | undefined) => string;
  /** Number and unit separately; a dash without unit if unknown. */
  amount: (value: number | null | undefined) => [number: string, unit: string];
  rate: (value: number | null | undefined) => [number: string, unit: string];
  /** `03:54:18`, or without seconds if `precise` is false. */
  clock: (at: number | undefined, precise?: boolean) => string;
  /** `UTC`, or empty for local time. */
  zone: string;
}

export function format(units: Units, zone: Zone): Format {
  return {
    bytes: (value) => bytes(value, units),
    speed: (value) => speed(value, units),
    amount: (value) => (isKnown(value) ? amount(value, units) : [UNKNOWN, '']),
    rate: (value) => (isKnown(value) ? rate(value, units) : [UNKNOWN, '']),
    clock: (at, precise) => clock(at, zone, precise),
    zone: zone === 'utc' ? 'UTC' : '',
  };
}

/** Whole percent, rounded down so that `100 %` means complete. */
export function percent(value: number | null | undefined): string {
  return isKnown(value) ? `${Math.floor(Math.min(value, 100))} %` : UNKNOWN;
}

const twoDigits = (value: number): string => String(value).padStart(2, '0');

/** Whole seconds, coarser for longer times: `< 1 s`, `12 s`, `2 m 10 s`, `1 h 05 m`, `3 d 4 h`. */
export function seconds(value: number | null | undefined): string {
  if (!isKnown(value)) return UNKNOWN;
  const s = Math.floor(value);
  if (s < 1) return '< 1 s';
  if (s < 60) return `${s} s`;
  if (s < 3_600) return `${Math.floor(s / 60)} m ${twoDigits(s % 60)} s`;
  if (s < 86_400) return `${Math.floor(s / 3_600)} h ${twoDigits(Math.floor(s / 60) % 60)} m`;
  return `${Math.floor(s / 86_400)} d ${Math.floor(s / 3_600) % 24} h`;
}

/** A measured duration: `0.4 s`, `12.3 s`, `2 m 10 s`. */
export function duration(value: number | null | undefined): string {
  if (!isKnown(value)) return UNKNOWN;
  return value < 60 ? `${(Math.floor(value * 10) / 10).toFixed(1)} s` : seconds(value);
}

/** A configured period: `15 minutes`, `1 hour`, otherwise formatted by `seconds`. */
export function formatPeriod(value: number): string {
  if (value % 3_600 === 0 && value > 0) return count(value / 3_600, 'hour');
  return value % 60 === 0 && value > 0 ? count(value / 60, 'minute') : seconds(value);
}

/**
 * Time left, rounded more coarsely the longer it is so that it does not flicker: `~12 s`, `~45 s`,
 * `~2 m 10 s`.
 */
export function timeLeft(value: number | null | undefined): string {
  if (!isKnown(value)) return UNKNOWN;
  if (value < 1) return '< 1 s';
  const step = value < 20 ? 1 : value < 60 ? 5 : value < 600 ? 10 : 60;
  return `~${seconds(Math.max(1, Math.round(value / step) * step))}`;
}

/** `1 m 40 s to 4 m 00 s` if the range is too wide for a single estimate; otherwise undefined. */
export function etaRange(
  value: number | undefined,
  low: number | undefined,
  high: number | undefined,
): string | undefined {
  if (!isKnown(value) || !isKnown(low) || !isKnown(high)) return undefined;
  return high - low > Math.max(value / 2, 2) ? `${seconds(low)} to ${seconds(high)}` : undefined;
}

/** `1 layer`, `3 layers`. */
export function count(value: number, one: string, many = `${one}s`): string {
  return `${value.toLocaleString('en')} ${value === 1 ? one : many}`;
}

/** Parses an instant of the wire to milliseconds; undefined if invalid. */
export function parseInstant(text: string | undefined): number | undefined {
  const value = text === undefined ? Number.NaN : Date.parse(text);
  return Number.isNaN(value) ? undefined : value;
}
