// The layers of the rows in view. The stream leaves them out: most rows are not in view, and an agent tells of them
// once a second. So the page asks for those that it shows, all in one request, once a second while they move.

import type { LayerStatus, PullList, PullStatus } from '../api/gen/wire';
import { isLive } from '../model/pull';
import { understandRow } from './frame';
import { type Beside, type Get, Poll } from './poll';

const EVERY_MS = 1_000;
/** So many in one request: gateways refuse addresses of more than 8 KiB. Of more rows in view each has its turn. */
export const MOST = 40;

interface Wanted {
  by: number;
  /** The number of the request that asked for it last. */
  turn: number;
  /** The row that they were asked for: one that has ended since moves no more. */
  of?: PullStatus | undefined;
  layers?: readonly LayerStatus[];
  listeners: Set<() => void>;
}

export class Layers {
  #row: (id: string) => PullStatus | undefined;
  #wanted = new Map<string, Wanted>();
  #poll: Poll<PullList>;
  #quit: (() => void) | undefined;
  #soon: ReturnType<typeof setTimeout> | undefined;
  #turn = 0;

  constructor(get: Get, beside: Beside, row: (id: string) => PullStatus | undefined) {
    this.#row = row;
    this.#poll = new Poll(get, beside, EVERY_MS, () => this.#path());
  }

  /** Of a row in view; undefined where they are not known, or not known yet. */
  of = (id: string): readonly LayerStatus[] | undefined => this.#wanted.get(id)?.layers;

  /** Says that a row is in view, until it is told otherwise. */
  on = (id: string, listener: () => void): (() => void) => {
    const wanted = this.#wanted.get(id) ?? { by: 0, turn: 0, listeners: new Set() };
    wanted.by += 1;
    wanted.listeners.add(listener);
    this.#wanted.set(id, wanted);
    if (wanted.layers === undefined) this.#askSoon();
    this.#quit ??= this.#poll.on(this.#heard);
    return () => {
      wanted.by -= 1;
      wanted.listeners.delete(listener);
      if (wanted.by > 0) return;
      this.#wanted.delete(id);
      if (this.#wanted.size > 0) return;
      clearTimeout(this.#soon);
      this.#soon = undefined;
      this.#quit?.();
      this.#quit = undefined;
    };
  };

  /** Rows come into view together: one request is enough for them. */
  #askSoon(): void {
    this.#soon ??= setTimeout(() => {
      this.#soon = undefined;
      this.#poll.now();
    }, 50);
  }

  #path(): string | undefined {
    if (this.#soon !== undefined) return undefined;
    const asked = [...this.#wanted].filter(([id, wanted]) => {
      const row = this.#row(id);
      // Before the manifest is here there are none.
      if (row?.layerCount === undefined) return false;
      return wanted.of === undefined || isLive(wanted.of) || row !== wanted.of;
    });
    if (asked.length === 0) return undefined;
    this.#turn += 1;
    const next = asked.sort(([, a], [, b]) => a.turn - b.turn).slice(0, MOST);
    for (const [, wanted] of next) wanted.turn = this.#turn;
    const ids = next.map(([id]) => encodeURIComponent(id));
    return `api/v1/pulls?layers=embed&id=${ids.join(',')}`;
  }

  #heard = (): void => {
    const pulls: unknown = this.#poll.state().value?.pulls;
    if (!Array.isArray(pulls)) return;
    for (const each of pulls) {
      const pull = understandRow(each)?.row;
      const wanted = pull && this.#wanted.get(pull.id);
      if (pull === undefined || wanted === undefined) continue;
      wanted.of = isLive(pull) ? pull : this.#row(pull.id);
      wanted.layers = pull.layers ?? [];
      for (const listener of wanted.listeners) listener();
    }
  };
}
