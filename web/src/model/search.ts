// What a reader may mean by a few letters: their pod, an image, a node, a page.

import type { PullStatus } from '../api/gen/wire';
import { names } from './filter';
import { imageName } from './image';

export type HitKind = 'pod' | 'image' | 'node' | 'page';

export interface Hit {
  kind: HitKind;
  /** The name, as it is shown. */
  text: string;
  /** Quietly beside it: where it comes from. */
  beside: string;
  /** What it is: a namespace and a pod, a registry and a name, a node, a page. */
  of: readonly string[];
}

/** So many of each kind are offered: with more letters there are fewer. */
export const MOST = 8;

/** How well the words match a name in small letters: it begins so, a part of it does, it has it; undefined if not. */
function quality(name: string, words: readonly string[]): number | undefined {
  let worst = 0;
  for (const word of words) {
    const at = name.indexOf(word);
    if (at < 0) return undefined;
    const part = at === 0 || !/[a-z0-9]/.test(name[at - 1] ?? '');
    worst = Math.max(worst, at === 0 ? 0 : part ? 1 : 2);
  }
  return worst;
}

/** Keeps the best few, in the order in which they came. */
class Best {
  #by: Hit[][] = [[], [], []];
  #seen = new Set<string>();

  add(key: string, how: number | undefined, hit: () => Hit): void {
    if (how === undefined || this.#seen.has(key)) return;
    this.#seen.add(key);
    const list = this.#by[how] ?? [];
    if (list.length < MOST) list.push(hit());
  }

  all = (): Hit[] => this.#by.flat().slice(0, MOST);
}

/** Pods first, since most come for theirs. Nothing of no words. */
export function find(
  text: string,
  rows: Iterable<PullStatus>,
  nodes: Iterable<string>,
  pages: readonly (readonly [page: string, name: string])[],
): Hit[] {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  if (words.length === 0) return [];
  const best = { pod: new Best(), image: new Best(), node: new Best(), page: new Best() };
  for (const row of rows) {
    const known = names(row);
    // Most rows have none of it, and this is the cheapest way to know.
    if (!words.every((word) => known.text.includes(word))) continue;
    for (const { namespace, podName } of [...(row.pods ?? []), ...(row.candidates ?? [])]) {
      const how = Math.min(
        quality(podName.toLowerCase(), words) ?? 3,
        quality(`${namespace}/${podName}`.toLowerCase(), words) ?? 3,
      );
      best.pod.add(`${namespace}/${podName}`, how > 2 ? undefined : how, () => ({
        kind: 'pod',
        text: podName,
        beside: namespace,
        of: [namespace, podName],
      }));
    }
    const [whole = '', ...shorter] = known.image;
    const how = Math.min(...[whole, ...shorter].map((name) => quality(name, words) ?? 3));
    best.image.add(whole, how > 2 ? undefined : how, () => {
      const { name, version, registry } = imageName(row);
      const text = [name, version].filter(Boolean).join(':');
      return { kind: 'image', text, beside: registry, of: [registry, text].filter(Boolean) };
    });
  }
  for (const node of nodes) {
    best.node.add(node, quality(node.toLowerCase(), words), () => ({
      kind: 'node',
      text: node,
      beside: '',
      of: [node],
    }));
  }
  for (const [page, name] of pages) {
    best.page.add(page, quality(name.toLowerCase(), words), () => ({
      kind: 'page',
      text: name,
      beside: '',
      of: [page],
    }));
  }
  return [...best.pod.all(), ...best.image.all(), ...best.node.all(), ...best.page.all()];
}
