// The global search over pods, images, nodes and pages.

import type { PullStatus } from '../api/gen/wire';
import { searchNames } from './filter';
import { imageName } from './image';

export type SearchHitKind = 'pod' | 'image' | 'node' | 'page';

export interface SearchHit {
  kind: SearchHitKind;
  /** The name to display. */
  text: string;
  /** Secondary text, such as the namespace or registry. */
  context: string;
  /** Link target: namespace and pod, registry and name, node, or page. */
  target: readonly string[];
}

/** Maximum number of hits per kind. */
export const MAX_HITS = 8;

/**
 * Ranks how well the words match a lower-case name: 0 at its start, 1 at the start of a part, 2
 * elsewhere; undefined for no match.
 */
function matchRank(name: string, words: readonly string[]): number | undefined {
  let rank = 0;
  for (const word of words) {
    const at = name.indexOf(word);
    if (at < 0) return undefined;
    const isWordStart = at === 0 || !/[a-z0-9]/.test(name[at - 1] ?? '');
    rank = Math.max(rank, at === 0 ? 0 : isWordStart ? 1 : 2);
  }
  return rank;
}

/** Keeps the best hits of each rank in insertion order. */
class BestHits {
  #byRank: SearchHit[][] = [[], [], []];
  #seen = new Set<string>();

  add(key: string, rank: number | undefined, hit: () => SearchHit): void {
    if (rank === undefined || this.#seen.has(key)) return;
    this.#seen.add(key);
    const list = this.#byRank[rank] ?? [];
    if (list.length < MAX_HITS) list.push(hit());
  }

  hits = (): SearchHit[] => this.#byRank.flat().slice(0, MAX_HITS);
}

/** Finds hits, pods first, as most users look for their pod. */
export function search(
  text: string,
  rows: Iterable<PullStatus>,
  nodes: Iterable<string>,
  pages: readonly (readonly [page: string, name: string])[],
): SearchHit[] {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  if (words.length === 0) return [];
  const best = { pod: new BestHits(), image: new BestHits(), node: new BestHits(), page: new BestHits() };
  for (const row of rows) {
    const rowNames = searchNames(row);
    // Cheap check that rules out most rows.
    if (!words.every((word) => rowNames.text.includes(word))) continue;
    for (const { namespace, podName } of [...(row.pods ?? []), ...(row.candidates ?? [])]) {
      const rank = Math.min(
        matchRank(podName.toLowerCase(), words) ?? 3,
        matchRank(`${namespace}/${podName}`.toLowerCase(), words) ?? 3,
      );
      best.pod.add(`${namespace}/${podName}`, rank > 2 ? undefined : rank, () => ({
        kind: 'pod',
        text: podName,
        context: namespace,
        target: [namespace, podName],
      }));
    }
    const [reference = '', ...shorter] = rowNames.image;
    const rank = Math.min(...[reference, ...shorter].map((name) => matchRank(name, words) ?? 3));
    best.image.add(reference, rank > 2 ? undefined : rank, () => {
      const { name, version, registry } = imageName(row);
      const text = [name, version].filter(Boolean).join(':');
      return { kind: 'image', text, context: registry, target: [registry, text].filter(Boolean) };
    });
  }
  for (const node of nodes) {
    best.node.add(node, matchRank(node.toLowerCase(), words), () => ({
      kind: 'node',
      text: node,
      context: '',
      target: [node],
    }));
  }
  for (const [page, name] of pages) {
    best.page.add(page, matchRank(name.toLowerCase(), words), () => ({
      kind: 'page',
      text: name,
      context: '',
      target: [page],
    }));
  }
  return [...best.pod.hits(), ...best.image.hits(), ...best.node.hits(), ...best.page.hits()];
}
