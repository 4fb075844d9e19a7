import { expect, test } from 'vitest';
import { format } from '../../src/model/format';
import { changeSettings, parseSettings } from '../../src/settings';

const FIRST = { theme: 'auto', density: 'comfortable', units: 'iec', zone: 'utc' };

test('invalid stored settings fall back to defaults', () => {
  for (const text of [null, '', 'null', '[]', '7', '{"theme":7}', '{"units":"miles","more":1}']) {
    expect(parseSettings(text), String(text)).toEqual(FIRST);
  }
  expect(parseSettings('{"units":"bits","zone":"local"}')).toEqual({
    ...FIRST,
    units: 'bits',
    zone: 'local',
  });
});

test('changed settings are stored and applied', () => {
  changeSettings({ theme: 'dark', density: 'compact' });
  expect(parseSettings(localStorage.getItem('pulltrace.settings'))).toMatchObject({ theme: 'dark' });
  expect(document.documentElement.dataset).toMatchObject({ theme: 'dark', density: 'compact' });
  changeSettings({ theme: 'auto', density: 'comfortable' });
  expect(document.documentElement.dataset).not.toHaveProperty('theme');
});

test('sizes and speeds use the chosen units', () => {
  const mib = 100 * 1024 * 1024;
  expect(format('iec', 'utc').bytes(mib)).toBe('100 MiB');
  expect(format('iec', 'utc').speed(mib)).toBe('100 MiB/s');
  expect(format('si', 'utc').bytes(mib)).toBe('105 MB');
  expect(format('bits', 'utc').bytes(mib)).toBe('105 MB');
  expect(format('bits', 'utc').speed(mib)).toBe('839 Mbit/s');
  expect(format('bits', 'utc').amount(undefined)).toEqual(['–', '']);
});

test('clock shows missing times as a dash', () => {
  const { clock, zone } = format('iec', 'utc');
  expect(clock(Date.parse('2026-11-24T03:54:18Z'))).toBe('03:54:18');
  expect(clock(Date.parse('2026-11-24T03:54:18Z'), false)).toBe('03:54');
  expect(clock(undefined)).toBe('–');
  expect(clock(Number.NaN)).toBe('–');
  expect(zone).toBe('UTC');
  expect(format('iec', 'local').zone).toBe('');
});
