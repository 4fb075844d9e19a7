// @vitest-environment node
// The golden files of the wire are what the server writes: the page's types must say the same, and its store read them.

import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { Store } from '../../src/live/store';
import { frame } from './some';

const WEB = join(import.meta.dirname, '../..');
const GOLDEN = join(WEB, '../pulltrace-core/tests/golden');

/** Which type of `wire.ts` the files with such a name hold. */
const TYPES = {
  pull_status_v1: 'PullStatus',
  frame_v1: 'Frame',
  pull_event_v1: 'PullEvent',
  pull_list_v1: 'PullList',
  node_list_v1: 'NodeList',
  image_list_v1: 'ImageList',
  problem_v1: 'Problem',
} as const;

const files = readdirSync(GOLDEN)
  .filter((name) => name.endsWith('.json'))
  .flatMap((name) => {
    const kind = Object.keys(TYPES).find((prefix) => name.startsWith(prefix)) as
      | keyof typeof TYPES
      | undefined;
    return kind ? [{ name, kind, text: readFileSync(join(GOLDEN, name), 'utf8') }] : [];
  });
const of = (kind: keyof typeof TYPES) => files.filter((file) => file.kind === kind);

test('what the server writes is of the types that the page knows', () => {
  expect(of('pull_status_v1').length).toBeGreaterThan(2);
  const folder = mkdtempSync(join(WEB, 'node_modules/.contract-'));
  try {
    const lines = files.map(
      ({ name, kind, text }) =>
        `// ${name}\n(${text}) satisfies import('../../src/api/gen/wire').${TYPES[kind]};`,
    );
    writeFileSync(join(folder, 'golden.ts'), `${lines.join('\n')}\nexport {};\n`);
    const options = {
      compilerOptions: { strict: true, noEmit: true, module: 'esnext', moduleResolution: 'bundler' },
    };
    writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({ ...options, files: ['golden.ts'] }));
    const run = () => execFileSync(join(WEB, 'node_modules/.bin/tsc'), ['-p', folder], { encoding: 'utf8' });
    expect(said(run)).toBe('');
  } finally {
    rmSync(folder, { recursive: true });
  }
});

/** What the compiler says, also where it fails. */
function said(run: () => string): string {
  try {
    return run();
  } catch (error) {
    return String((error as { stdout?: string }).stdout ?? error);
  }
}

test.each(of('pull_status_v1'))('the store takes $name as it is', ({ text }) => {
  const row = JSON.parse(text);
  const store = new Store();
  store.event('frame', frame(1, { rows: [row] }), 'e-1');
  store.flush();
  expect(store.counts).toEqual({ notUnderstood: 0, unknownRow: 0, outOfOrder: 0 });
  expect(store.row(row.id)).toEqual(row);
  expect([...store.all().rows.values()].map((each) => each.nodeName)).toEqual([row.nodeName]);
});

test.each(of('frame_v1'))('the store takes $name as it is', ({ text }) => {
  const { rows = [], up = [], nodes = [] } = JSON.parse(text);
  const store = new Store();
  // What moves must be known before.
  const known = up.map(([row]: [number]) => ({
    id: `${row}`,
    row,
    nodeName: 'n',
    phase: 'downloading',
    startedAt: '',
  }));
  store.event('frame', frame(0, { rows: known }), 'e-0');
  store.event('frame', text, 'e-1');
  store.flush();
  expect(store.counts.notUnderstood).toBe(0);
  for (const row of rows) expect(store.row(row.id)).toMatchObject({ id: row.id, nodeName: row.nodeName });
  for (const [row, percent, downloadedBytes] of up.slice(1)) {
    expect(store.row(`${row}`)?.percent ?? null).toBe(percent);
    expect(store.row(`${row}`)?.downloadedBytes ?? null).toBe(downloadedBytes);
  }
  for (const node of nodes) expect(store.node(node.name)).toEqual(node.removed ? undefined : node);
});
