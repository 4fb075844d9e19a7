// Fails where the page's JavaScript, compressed as it is served, grew beyond what a first view may weigh.
import { readdirSync, readFileSync } from 'node:fs';
import { brotliCompressSync } from 'node:zlib';

const LIMIT_KB = { js: 95, css: 12 };
const folder = new URL('../dist/assets/', import.meta.url);
let over = false;
for (const [kind, limit] of Object.entries(LIMIT_KB)) {
  const files = readdirSync(folder).filter((name) => name.endsWith(`.${kind}`));
  if (files.length === 0) throw new Error(`no ${kind} file in dist/assets: run \`npm run build\` first`);
  const bytes = files.reduce(
    (sum, name) => sum + brotliCompressSync(readFileSync(new URL(name, folder))).length,
    0,
  );
  const kb = bytes / 1000;
  console.log(`${kind}: ${kb.toFixed(1)} KB br of ${limit}`);
  over ||= kb > limit;
}
process.exit(over ? 1 : 0);
