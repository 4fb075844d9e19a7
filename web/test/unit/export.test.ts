import { expect, test } from 'vitest';
import { toCsv, toJson } from '../../src/model/export';
import { at, ended, pull } from './fixtures';

const cells = (csv: string, line: number): Record<string, string | undefined> => {
  const lines = csv.split('\r\n').map((each) => each.split(','));
  return Object.fromEntries((lines[0] ?? []).map((name, i) => [name, lines[line]?.[i]]));
};

test('CSV has one line per pull', () => {
  const link = { namespace: 'shop', uid: 'u', image: 'x' };
  const csv = toCsv([
    pull('a', {
      percent: 12.5,
      pods: [
        { ...link, podName: 'web-0', container: 'app' },
        { ...link, podName: 'web-0', container: 'side' },
        { ...link, podName: 'web-1', uid: 'v', container: 'app' },
      ],
    }),
    ended('b', { phase: 'failed', outcome: 'failed', failure: { reason: 'dns' } }),
  ]);
  expect(csv.endsWith('\r\n')).toBe(true);
  expect(csv.split('\r\n')).toHaveLength(4);
  expect(cells(csv, 1)).toMatchObject({
    id: 'a',
    node: 'n1',
    image: 'registry.example/team/a:1.0',
    phase: 'downloading',
    pods: 'shop/web-0 shop/web-1',
    percent: '12.5',
    bytesPerSec: '',
    completedAt: '',
  });
  expect(cells(csv, 2)).toMatchObject({ phase: 'failed', reason: 'dns', completedAt: at(5) });
});

test('CSV escapes formulas and quotes', () => {
  const messageCell = (message: string): string =>
    toCsv([ended('a', { failure: { reason: 'other', message } })]).split(/\r\n(?=a,)/)[1] ?? '';
  for (const bad of ['=1+1', '+1', '-1', '@SUM(A1)', '\t=1', ' =1', '\n=1', '＝1']) {
    expect(messageCell(bad), bad).toContain(`'${bad}`);
  }
  expect(messageCell('no, "really"\nno')).toContain(',"no, ""really""\nno",');
  expect(messageCell('=HYPERLINK("x","y")')).toContain(`,"'=HYPERLINK(""x"",""y"")",`);
  expect(messageCell('a=1')).toContain(',a=1,');
});

test('JSON export matches the API shape', () => {
  const pulls = [pull('a'), ended('b')];
  expect(JSON.parse(toJson(pulls))).toEqual({ pulls });
});
