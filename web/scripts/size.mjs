// Fails if the compressed page exceeds its size limits: `node scripts/size.mjs [DIST]`
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { brotliCompressSync } from 'node:zlib';

const dist = process.argv[2] ?? join(import.meta.dirname, '../dist');
const LIMITS = [
  { what: 'JavaScript of the first view', ending: '.js', first: true, kb: 95 },
  { what: 'JavaScript in total', ending: '.js', first: false, kb: 140 },
  { what: 'CSS of the first view', ending: '.css', first: true, kb: 12 },
];

const index = readFileSync(join(dist, 'index.html'), 'utf8');
const files = readdirSync(join(dist, 'assets'));
let over = false;
for (const { what, ending, first, kb } of LIMITS) {
  const counted = files.filter(
    (name) => name.endsWith(ending) && (!first || index.includes(`assets/${name}`)),
  );
  if (counted.length === 0) throw new Error(`${what}: no files in ${dist}; run \`npm run build\` first`);
  const bytes = counted.reduce(
    (sum, name) => sum + brotliCompressSync(readFileSync(join(dist, 'assets', name))).length,
    0,
  );
  console.log(`${what}: ${(bytes / 1000).toFixed(1)} KB br of ${kb}`);
  over ||= bytes / 1000 > kb;
}
process.exit(over ? 1 : 0);
