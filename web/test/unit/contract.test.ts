// @vitest-environment node
// The server writes the golden files of the wire: they must satisfy the page's types and be accepted
// by its store.

import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { Store } from '../../src/live/store';
import { frame } from './fixtures';

const WEB = join(import.meta.dirname, '../..');
const GOLDEN = join(WEB, '../pulltrace-core/tests/golden');

/** Types in `wire.ts` by the prefix of the golden file. */
const WIRE_TYPES = {
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
    const kind = Object.keys(WIRE_TYPES).find((prefix) => name.startsWith(prefix)) as
      | keyof typeof WIRE_TYPES
      | undefined;
    return kind ? [{ name, kind, text: readFileSync(join(GOLDEN, name), 'utf8') }] : [];
  });
const filesOf = (kind: keyof typeof WIRE_TYPES) => files.filter((file) => file.kind === kind);

test('golden files satisfy the generated types', () => {
  expect(filesOf('pull_status_v1').length).toBeGreaterThan(2);
  const folder = mkdtempSync(join(WEB, 'node_modules/.contract-'));
  try {
    const lines = files.map(
      ({ name, kind, text }) =>
        `// ${name}\n(${text}) satisfies import('../../src/api/gen/wire').${WIRE_TYPES[kind]};`,
    );
    writeFileSync(join(folder, 'golden.ts'), `${lines.join('\n')}\nexport {};\n`);
    const options = {
      compilerOptions: { strict: true, noEmit: true, module: 'esnext', moduleResolution: 'bundler' },
    };
    writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({ ...options, files: ['golden.ts'] }));
    const run = () => execFileSync(join(WEB, 'node_modules/.bin/tsc'), ['-p', folder], { encoding: 'utf8' });
    expect(compilerOutput(run)).toBe('');
  } finally {
    rmSync(folder, { recursive: true });
  }
});

/** Output of the compiler, also if it fails. */
function compilerOutput(run: () => string): string {
  try {
    return run();
  } catch (error) {
    return String((error as { stdout?: string }).stdout ?? error);
  }
}

test.each(filesOf('pull_status_v1'))('store accepts $name unchanged', ({ text }) => {
  const row = JSON.parse(text);
  const store = new Store();
  store.handleEvent('frame', frame(1, { rows: [row] }), 'e-1');
  store.flush();
  expect(store.dropCounts).toEqual({ invalid: 0, unknownRows: 0, outOfOrder: 0 });
  expect(store.row(row.id)).toEqual(row);
  expect([...store.dataset().rows.values()].map((each) => each.nodeName)).toEqual([row.nodeName]);
});

test.each(filesOf('frame_v1'))('store accepts $name unchanged', ({ text }) => {
  const { rows = [], up = [], nodes = [] } = JSON.parse(text);
  const store = new Store();
  // Motions need known rows.
  const known = up.map(([row]: [number]) => ({
    id: `${row}`,
    row,
    nodeName: 'n',
    phase: 'downloading',
    startedAt: '',
  }));
  store.handleEvent('frame', frame(0, { rows: known }), 'e-0');
  store.handleEvent('frame', text, 'e-1');
  store.flush();
  expect(store.dropCounts.invalid).toBe(0);
  for (const row of rows) expect(store.row(row.id)).toMatchObject({ id: row.id, nodeName: row.nodeName });
  for (const [row, percent, downloadedBytes] of up.slice(1)) {
    expect(store.row(`${row}`)?.percent ?? null).toBe(percent);
    expect(store.row(`${row}`)?.downloadedBytes ?? null).toBe(downloadedBytes);
  }
  for (const node of nodes) expect(store.node(node.name)).toEqual(node.removed ? undefined : node);
});
