// The words by which a reader picks pulls: `node:gpu-* -state:done "payments api"`. Understood once, then asked of
// each row; whatever is typed is understood as something.

import type { PullStatus } from '../api/gen/wire';
import { imageName } from './image';
import { isLive, pullState, why } from './pull';

/** What can be asked for by name, as the help tells it. */
export const KEYS = ['node', 'ns', 'pod', 'image', 'registry', 'state', 'reason'] as const;
export type Key = (typeof KEYS)[number];

const ALIASES: Record<string, Key> = { namespace: 'ns', phase: 'state' };

export interface Term {
  /** Undefined of a bare word. */
  key: Key | undefined;
  /** Whether it must not be so. */
  not: boolean;
  /** In small letters. */
  text: string;
  quoted: boolean;
}

export interface Filter {
  terms: readonly Term[];
  /** Words before a colon that are no key: they were looked for as they stand. */
  unknown: readonly string[];
  matches: (pull: PullStatus) => boolean;
}

/** `-key:"some words"`, `key:word`, `"some words"`, `word`: a quote that nobody closes reaches to the end. */
const TERM = /(-?)(?:([a-z]+):)?(?:"([^"]*)"?|(\S+))?\s*/giy;

export function parse(text: string): { terms: Term[]; unknown: string[] } {
  const terms: Term[] = [];
  const unknown: string[] = [];
  TERM.lastIndex = 0;
  const whole = text.trimStart();
  while (TERM.lastIndex < whole.length) {
    const found = TERM.exec(whole);
    // Each character begins a term, so this ends; were it not so, the rest would be left out.
    if (!found || found[0] === '') break;
    const [, minus, before, phrase, word = ''] = found;
    const name = before?.toLowerCase();
    const key = name === undefined ? undefined : (KEYS.find((known) => known === name) ?? ALIASES[name]);
    const strange = name !== undefined && key === undefined;
    if (strange && !unknown.includes(name)) unknown.push(name);
    const said = (strange ? `${name}:` : '') + (phrase ?? word);
    // `node:` and `-` are what somebody has not typed to the end.
    if (said === '') continue;
    terms.push({ key, not: minus === '-', text: said.toLowerCase(), quoted: phrase !== undefined });
  }
  return { terms, unknown };
}

/** How a term is asked for: the text that `parse` understands as it. */
export function term(key: Key, text: string): string {
  // No name of Kubernetes has a quote in it.
  return `${key}:"${text.replaceAll('"', '')}"`;
}

export function compile(text: string): Filter {
  const { terms, unknown } = parse(text);
  const never = terms.filter(({ not }) => not).map(test);
  const words = terms.filter(({ key, not }) => key === undefined && !not).map(test);
  const any = KEYS.map((key) => terms.filter((each) => each.key === key && !each.not).map(test)).filter(
    (tests) => tests.length > 0,
  );
  return {
    terms,
    unknown,
    matches: (pull) =>
      words.every((is) => is(pull)) &&
      any.every((tests) => tests.some((is) => is(pull))) &&
      !never.some((is) => is(pull)),
  };
}

type Test = (pull: PullStatus) => boolean;

/** Keys whose quoted text is all of a name: `node:"worker-1"` is not `worker-10`. */
const EXACT = new Set<Key | undefined>(['node', 'ns', 'pod', 'image', 'registry']);

function test({ key, text, quoted }: Term): Test {
  const like = likeness(text, quoted && EXACT.has(key), key === 'state');
  switch (key) {
    case 'node':
      return (pull) => like(names(pull).node);
    case 'registry':
      return (pull) => names(pull).registry.some(like);
    case 'image':
      return (pull) => names(pull).image.some(like);
    case 'ns':
      return (pull) => names(pull).namespaces.some(like);
    case 'pod':
      return (pull) => names(pull).pods.some(like);
    case 'state':
      return (pull) => states(pull).some(like);
    case 'reason':
      return (pull) => reasons(pull).some(like);
    default:
      return text.includes('*') && !quoted
        ? (pull) => names(pull).all.some(like)
        : (pull) => names(pull).text.includes(text);
  }
}

/** `*` stands for anything, and then the rest is the whole name; without it, a part of the name is enough. */
function likeness(text: string, exact: boolean, begins: boolean): (value: string) => boolean {
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
  return begins ? (value) => value.startsWith(text) : (value) => value.includes(text);
}

/** The states that a pull is said to be in: the word of the page, that of the wire, and wider ones. */
function states(pull: PullStatus): string[] {
  const live = isLive(pull);
  const words = [pullState(pull), pull.phase, ...(live ? ['live', 'active'] : ['done', 'ended'])];
  if (live && pull.slow) words.push('slow');
  return words.map((word) => word.toLowerCase());
}

function reasons(pull: PullStatus): string[] {
  if (!pull.failure) return pull.error ? [pull.error.toLowerCase()] : [];
  const { reason, message = '' } = pull.failure;
  return [reason, reason.replaceAll('_', ' '), why(pull) ?? '', message].map((word) => word.toLowerCase());
}

/** The names of a pull in small letters. */
export interface Names {
  node: string;
  /** The whole reference, `name:version`, and `name`: any of them is the image to somebody. */
  image: readonly string[];
  /** With its path, and the host alone. */
  registry: readonly string[];
  namespaces: readonly string[];
  /** `name` and `namespace/name` of each. */
  pods: readonly string[];
  /** Each of them. */
  all: readonly string[];
  /** All of them in one text. */
  text: string;
}

// A row is replaced whenever its bytes move, and what it is called hardly ever changes: so names are kept by id, with
// what they were made of. Ids that are gone are forgotten now and then.
const known = new Map<string, { of: PullStatus; names: Names }>();
const SWEEP = 50_000;

const same = (a: PullStatus, b: PullStatus): boolean =>
  a.imageRef === b.imageRef &&
  a.pods === b.pods &&
  a.candidates === b.candidates &&
  a.repository === b.repository &&
  a.rootDigest === b.rootDigest &&
  a.manifestDigest === b.manifestDigest &&
  a.nodeName === b.nodeName;

export function names(pull: PullStatus): Names {
  const found = known.get(pull.id);
  if (found && (found.of === pull || same(found.of, pull))) return found.names;
  if (known.size > SWEEP) known.clear();
  const made = makeNames(pull);
  known.set(pull.id, { of: pull, names: made });
  return made;
}

function makeNames(pull: PullStatus): Names {
  const image = imageName(pull);
  const whole = pull.imageRef ?? pull.repository ?? pull.rootDigest ?? pull.manifestDigest ?? '';
  const links = [...(pull.pods ?? []), ...(pull.candidates ?? [])];
  const small = (words: readonly string[]): string[] => [
    ...new Set(words.filter(Boolean).map((word) => word.toLowerCase())),
  ];
  const node = pull.nodeName.toLowerCase();
  const images = small([
    whole,
    ...(image.known ? [image.version && `${image.name}:${image.version}`, image.name] : []),
  ]);
  const namespaces = small(links.map(({ namespace }) => namespace));
  const pods = small(links.flatMap(({ namespace, podName }) => [podName, `${namespace}/${podName}`]));
  const all = [...images, node, ...namespaces, ...pods];
  return {
    node,
    image: images,
    registry: small([image.registry, image.registry.split('/')[0] ?? '']),
    namespaces,
    pods,
    all,
    // What contains another one says it as well.
    text: [images[0] ?? '', node, ...pods.filter((pod) => pod.includes('/'))].join('\n'),
  };
}
