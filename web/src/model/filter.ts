// Filter syntax for pulls: `node:gpu-* -state:done "payments api"`. A filter is compiled once and
// then tested against each row. Any input is a valid filter.

import type { PullStatus } from '../api/gen/wire';
import { imageName } from './image';
import { failureTitle, isLive, pullState } from './pull';

/** Filter keys, as listed in the help. */
export const FILTER_KEYS = ['node', 'ns', 'pod', 'image', 'registry', 'state', 'reason'] as const;
export type FilterKey = (typeof FILTER_KEYS)[number];

const ALIASES: Record<string, FilterKey> = { namespace: 'ns', phase: 'state' };

export interface FilterTerm {
  /** Undefined for a plain word. */
  key: FilterKey | undefined;
  /** True if the term excludes its matches. */
  negated: boolean;
  /** Lower case. */
  text: string;
  quoted: boolean;
}

export interface Filter {
  terms: readonly FilterTerm[];
  /** Unknown keys; their terms are searched as plain text. */
  unknown: readonly string[];
  matches: (pull: PullStatus) => boolean;
}

/**
 * `-key:"some words"`, `key:word`, `"some words"` or `word`. An unclosed quote extends to the end.
 */
const TERM = /(-?)(?:([a-z]+):)?(?:"([^"]*)"?|(\S+))?\s*/giy;

export function parseFilter(text: string): { terms: FilterTerm[]; unknown: string[] } {
  const terms: FilterTerm[] = [];
  const unknown: string[] = [];
  TERM.lastIndex = 0;
  const input = text.trimStart();
  while (TERM.lastIndex < input.length) {
    const found = TERM.exec(input);
    // Every character starts a term, so the loop advances; this guards against endless loops.
    if (!found || found[0] === '') break;
    const [, minus, before, phrase, word = ''] = found;
    const name = before?.toLowerCase();
    const key =
      name === undefined ? undefined : (FILTER_KEYS.find((known) => known === name) ?? ALIASES[name]);
    const isUnknown = name !== undefined && key === undefined;
    if (isUnknown && !unknown.includes(name)) unknown.push(name);
    const value = (isUnknown ? `${name}:` : '') + (phrase ?? word);
    // `node:` and `-` are terms that are still being typed.
    if (value === '') continue;
    terms.push({ key, negated: minus === '-', text: value.toLowerCase(), quoted: phrase !== undefined });
  }
  return { terms, unknown };
}

/** Formats a term that `parseFilter` parses back to the same key and text. */
export function formatTerm(key: FilterKey, text: string): string {
  // Kubernetes names contain no quotes.
  return `${key}:"${text.replaceAll('"', '')}"`;
}

export function compileFilter(text: string): Filter {
  const { terms, unknown } = parseFilter(text);
  const excluded = terms.filter(({ negated }) => negated).map(termMatcher);
  const words = terms.filter(({ key, negated }) => key === undefined && !negated).map(termMatcher);
  const byKey = FILTER_KEYS.map((key) =>
    terms.filter((each) => each.key === key && !each.negated).map(termMatcher),
  ).filter((tests) => tests.length > 0);
  return {
    terms,
    unknown,
    matches: (pull) =>
      words.every((matches) => matches(pull)) &&
      byKey.every((tests) => tests.some((matches) => matches(pull))) &&
      !excluded.some((matches) => matches(pull)),
  };
}

type Matcher = (pull: PullStatus) => boolean;

/**
 * Keys whose quoted text must equal the whole name: `node:"worker-1"` does not match `worker-10`.
 */
const EXACT_KEYS = new Set<FilterKey | undefined>(['node', 'ns', 'pod', 'image', 'registry']);

function termMatcher({ key, text, quoted }: FilterTerm): Matcher {
  const matches = textMatcher(text, quoted && EXACT_KEYS.has(key), key === 'state');
  switch (key) {
    case 'node':
      return (pull) => matches(searchNames(pull).node);
    case 'registry':
      return (pull) => searchNames(pull).registry.some(matches);
    case 'image':
      return (pull) => searchNames(pull).image.some(matches);
    case 'ns':
      return (pull) => searchNames(pull).namespaces.some(matches);
    case 'pod':
      return (pull) => searchNames(pull).pods.some(matches);
    case 'state':
      return (pull) => stateWords(pull).some(matches);
    case 'reason':
      return (pull) => reasonWords(pull).some(matches);
    default:
      return text.includes('*') && !quoted
        ? (pull) => searchNames(pull).all.some(matches)
        : (pull) => searchNames(pull).text.includes(text);
  }
}

/** With `*` wildcards the whole name must match; without, a part of it. */
function textMatcher(text: string, exact: boolean, prefix: boolean): (value: string) => boolean {
  if (exact) return (value) => value === text;
  if (text.includes('*')) {
    const parts = text.split('*');
    const first = parts[0] ?? '';
    const last = parts.at(-1) ?? '';
    const middle = parts.slice(1, -1);
    return (value) => {
      if (value.length < first.length + last.length) return false;
      if (!value.startsWith(first) || !value.endsWith(last)) return false;
      const end = value.length - last.length;
      let from = first.length;
      for (const part of middle) {
        const at = value.indexOf(part, from);
        if (at < 0 || at + part.length > end) return false;
        from = at + part.length;
      }
      return true;
    };
  }
  return prefix ? (value) => value.startsWith(text) : (value) => value.includes(text);
}

/** State words of a pull: the page's, the wire's and broader ones. */
function stateWords(pull: PullStatus): string[] {
  const live = isLive(pull);
  const words: string[] = [pullState(pull), pull.phase, ...(live ? ['live', 'active'] : ['done', 'ended'])];
  if (live && pull.slow) words.push('slow');
  // The page's label of the state.
  if (words[0] === 'unseen') words.push('stale');
  return words.map((word) => word.toLowerCase());
}

function reasonWords(pull: PullStatus): string[] {
  if (!pull.failure) return pull.error ? [pull.error.toLowerCase()] : [];
  const { reason, message = '' } = pull.failure;
  return [reason, reason.replaceAll('_', ' '), failureTitle(pull) ?? '', message].map((word) =>
    word.toLowerCase(),
  );
}

/** Lower-case names of a pull. */
export interface SearchNames {
  node: string;
  /** The whole reference, `name:version` and `name`. */
  image: readonly string[];
  /** The registry with its path, and the host alone. */
  registry: readonly string[];
  namespaces: readonly string[];
  /** `name` and `namespace/name` of each pod. */
  pods: readonly string[];
  /** All names. */
  all: readonly string[];
  /** All names in one string. */
  text: string;
}

// Rows are replaced whenever their progress changes while names rarely do, so names are cached by
// id together with the row they were built from. The cache is cleared when it is full.
const cache = new Map<string, { row: PullStatus; names: SearchNames }>();
const MAX_CACHED = 50_000;

const hasSameNames = (a: PullStatus, b: PullStatus): boolean =>
  a.imageRef === b.imageRef &&
  a.pods === b.pods &&
  a.candidates === b.candidates &&
  a.repository === b.repository &&
  a.rootDigest === b.rootDigest &&
  a.manifestDigest === b.manifestDigest &&
  a.nodeName === b.nodeName;

export function searchNames(pull: PullStatus): SearchNames {
  const found = cache.get(pull.id);
  if (found && (found.row === pull || hasSameNames(found.row, pull))) return found.names;
  if (cache.size > MAX_CACHED) cache.clear();
  const built = buildNames(pull);
  cache.set(pull.id, { row: pull, names: built });
  return built;
}

function buildNames(pull: PullStatus): SearchNames {
  const image = imageName(pull);
  const reference = pull.imageRef ?? pull.repository ?? pull.rootDigest ?? pull.manifestDigest ?? '';
  const links = [...(pull.pods ?? []), ...(pull.candidates ?? [])];
  const lowercased = (words: readonly string[]): string[] => [
    ...new Set(words.filter(Boolean).map((word) => word.toLowerCase())),
  ];
  const node = pull.nodeName.toLowerCase();
  const images = lowercased([
    reference,
    ...(image.known ? [image.version && `${image.name}:${image.version}`, image.name] : []),
  ]);
  const namespaces = lowercased(links.map(({ namespace }) => namespace));
  const pods = lowercased(links.flatMap(({ namespace, podName }) => [podName, `${namespace}/${podName}`]));
  const all = [...images, node, ...namespaces, ...pods];
  return {
    node,
    image: images,
    registry: lowercased([image.registry, image.registry.split('/')[0] ?? '']),
    namespaces,
    pods,
    all,
    // Only the longest form of each name; it contains the shorter ones.
    text: [images[0] ?? '', node, ...pods.filter((pod) => pod.includes('/'))].join('\n'),
  };
}
