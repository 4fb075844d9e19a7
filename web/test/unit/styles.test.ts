// @vitest-environment node

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';

const SRC = join(import.meta.dirname, '../../src');
const files = readdirSync(SRC, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.css'));
const matches = (pattern: RegExp): string[] =>
  files.flatMap((file) =>
    [...readFileSync(join(SRC, file), 'utf8').matchAll(pattern)].map(([, value]) => `${file}: ${value}`),
  );

test('media queries use the three breakpoints', () => {
  const others = matches(/@media[^{]*?width: (\w+)/g).filter((found) => !/: (720|900|1180)px$/.test(found));
  expect(files.length).toBeGreaterThan(50);
  expect(others).toEqual([]);
});

test('ellipsis is composed, not copied', () => {
  // Only rules of plain classes can compose.
  const copied = /(?<!,\n)^(\.[\w-]+(?:,\n\.[\w-]+)*) \{[^}]*text-overflow: ellipsis/gm;
  expect(matches(copied)).toEqual(['styles/primitives.module.css: .ellipsis']);
});
