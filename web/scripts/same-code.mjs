// Compares two versions of the page's TypeScript without comments and formatting, by their syntax trees. Prints one JSON
// object a file that differs or has tests. `cargo xtask same-code` starts it; alone:
//
//   node scripts/same-code.mjs BASE [--names] [--strings] [--moved OLD=NEW …]
//
// BASE is another checkout's `web` folder. `--names` accepts other identifiers, `--strings` other texts.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseSync } from 'rolldown/utils';

const [base, ...options] = process.argv.slice(2);
const here = join(import.meta.dirname, '..');
const allowed = { names: options.includes('--names'), strings: options.includes('--strings') };
const moved = new Map(options.filter((option) => option.includes('=')).map((option) => option.split('=')));
const FOLDERS = ['src', 'test', 'sim', 'scripts'];

const NAMES = new Set(['Identifier', 'JSXIdentifier', 'PrivateIdentifier']);
/** Calls whose first argument is the name of a test or of a group of tests. */
const TESTS = new Set(['it', 'test', 'describe']);

/** A file as a list of tokens, with its imports apart since the formatter sorts them. */
function parse(file) {
  const { program, errors } = parseSync(file, readFileSync(file, 'utf8'), { preserveParens: false });
  if (errors.length > 0) throw new Error(`${file}: ${errors[0].message}`);
  const isTest = file.includes('.test.');
  const tokens = [];
  const imports = [];
  const tests = [];
  const text = (value) => tokens.push({ kind: 'text', value: value.replace(/\s+/g, ' ').trim() });
  const visit = (node) => {
    if (Array.isArray(node)) return node.forEach(visit);
    if (node === null || typeof node !== 'object') return tokens.push({ kind: 'other', value: String(node) });
    if (node.type === 'ImportDeclaration') {
      const specifiers = node.specifiers.map(
        (one) => `${one.importKind} ${one.imported?.name} ${one.local.name}`,
      );
      return imports.push(`${node.importKind} ${node.source.value} ${specifiers.sort()}`);
    }
    if (NAMES.has(node.type)) tokens.push({ kind: 'name', value: node.name });
    else if (node.type === 'Literal' && typeof node.value === 'string') return text(node.value);
    else if (node.type === 'Literal' && node.regex) return text(node.regex.pattern);
    else if (node.type === 'TemplateElement') return text(node.value.raw);
    else if (node.type === 'JSXText') return node.value.trim() === '' ? undefined : text(node.value);
    // `{' '}` is where the formatter broke a line.
    else if (node.type === 'JSXExpressionContainer' && node.expression.value === ' ') return;
    else tokens.push({ kind: 'other', value: node.type });
    if (isTest && node.type === 'CallExpression' && TESTS.has(node.callee.name ?? node.callee.object?.name)) {
      const name = node.arguments[0];
      tests.push(name?.value ?? name?.quasis?.map((part) => part.value.raw).join('…') ?? '');
    }
    for (const [key, value] of Object.entries(node)) {
      if (
        !['type', 'start', 'end', 'raw', 'name', 'range', 'shorthand'].includes(key) ||
        (key === 'name' && typeof value === 'object')
      ) {
        visit(value);
      }
    }
  };
  visit(program.body);
  return { tokens, imports: imports.sort(), tests };
}

function difference(before, after) {
  if (
    allowed.names
      ? before.imports.length !== after.imports.length
      : `${before.imports}` !== `${after.imports}`
  ) {
    return 'imports differ';
  }
  const length = Math.max(before.tokens.length, after.tokens.length);
  for (let at = 0; at < length; at++) {
    const [old, now] = [before.tokens[at], after.tokens[at]];
    const masked = (old?.kind === 'name' && allowed.names) || (old?.kind === 'text' && allowed.strings);
    if (old?.kind !== now?.kind || (!masked && old.value !== now.value)) {
      const near = (tokens) => tokens.slice(Math.max(0, at - 6), at + 6).map(({ value }) => value);
      return `\`${near(before.tokens).join(' ')}\` became \`${near(after.tokens).join(' ')}\``;
    }
  }
}

const list = (root) =>
  FOLDERS.flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true }).map((name) => join(folder, name)),
  )
    .concat(readdirSync(root))
    .filter((name) => /\.(ts|tsx|mjs)$/.test(name));
const found = new Set(list(here));
for (const old of list(base)) {
  const file = moved.get(old) ?? old;
  if (!existsSync(join(here, file))) {
    console.log(JSON.stringify({ file, difference: 'it is missing' }));
    continue;
  }
  found.delete(file);
  const [before, after] = [parse(join(base, old)), parse(join(here, file))];
  const different = difference(before, after);
  if (different !== undefined || after.tests.length > 0) {
    console.log(
      JSON.stringify({ file, difference: different ?? null, before: before.tests, after: after.tests }),
    );
  }
}
for (const file of found) console.log(JSON.stringify({ file, difference: 'it is new' }));
