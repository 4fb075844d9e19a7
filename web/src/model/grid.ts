// The nodes as a map: those of one pool side by side, one cell each.

import type { NodeStatus, PullStatus } from '../api/gen/wire';
import { isLive, pullState } from './pull';

/** What a node does, in the order of what presses most. */
export type CellState = 'silent' | 'failing' | 'stalled' | 'extracting' | 'pulling' | 'waiting' | 'idle';

export interface Cell {
  name: string;
  state: CellState;
  /** 1 to 4: how fast it is, beside the fastest. 0 where that is not known or it does not download. */
  shade: number;
  live: number;
  speed: number | undefined;
}

export interface Pool {
  /** What its nodes' names begin with; empty where they have nothing in common. */
  name: string;
  cells: Cell[];
}

/** A part of a name that only numbers it: `14`, `5d8f7c`, `vmss000001`. */
const NUMBERS = /^(\d+|[0-9a-f]*\d[0-9a-f]*|vmss\w+)$/i;

/** `gpu-worker` of `gpu-worker-14`; empty of a name that is not numbered. */
export function poolName(node: string): string {
  const parts = (node.split('.')[0] ?? '').split('-');
  const last = parts.pop() ?? '';
  if (parts.length === 0 || !/\d/.test(last)) return '';
  while (parts.length > 1 && NUMBERS.test(parts.at(-1) ?? '')) parts.pop();
  return parts.join('-');
}

const SHADES = 4;
/** More pools than that are no help: the small ones are drawn as one. */
const POOLS = 6;

interface Doing {
  extracting: boolean;
  downloading: boolean;
  moving: boolean;
  stalled: boolean;
}

function doings(pulls: Iterable<PullStatus>): Map<string, Doing> {
  const found = new Map<string, Doing>();
  for (const pull of pulls) {
    if (!isLive(pull)) continue;
    const state = pullState(pull);
    let doing = found.get(pull.nodeName);
    if (doing === undefined) {
      doing = { extracting: false, downloading: false, moving: false, stalled: false };
      found.set(pull.nodeName, doing);
    }
    if (state === 'stalled') doing.stalled = true;
    else if (state === 'extracting') doing.extracting = true;
    else if (state === 'downloading') doing.downloading = true;
    else if (state === 'resolving') doing.moving = true;
  }
  return found;
}

function stateOf(node: NodeStatus, doing: Doing | undefined, failing: boolean): CellState {
  // What a silent node does, nobody knows.
  if (node.state === 'lost') return 'silent';
  if (failing) return 'failing';
  if (doing?.stalled) return 'stalled';
  if (doing?.downloading || doing?.moving) return 'pulling';
  if (doing?.extracting) return 'extracting';
  return node.live > 0 ? 'waiting' : 'idle';
}

const byName = new Intl.Collator('en', { numeric: true }).compare;

/**
 * The pools by their names, and the nodes in them by theirs, so that each stays where it is. `failing`: the names of
 * nodes on which something fails.
 */
export function grid(
  nodes: Iterable<NodeStatus>,
  pulls: Iterable<PullStatus>,
  failing: ReadonlySet<string> = new Set(),
): Pool[] {
  const doing = doings(pulls);
  const all = [...nodes];
  const top = all.reduce(
    (max, node) => Math.max(max, node.state === 'lost' ? 0 : (node.bytesPerSec ?? 0)),
    0,
  );
  const pools = new Map<string, Cell[]>();
  for (const node of all) {
    const state = stateOf(node, doing.get(node.name), failing.has(node.name));
    const speed = state === 'silent' || node.live === 0 ? undefined : node.bytesPerSec;
    const cell: Cell = {
      name: node.name,
      state,
      // By its root: most nodes are far slower than the fastest.
      shade: speed && top > 0 ? Math.max(1, Math.ceil(Math.sqrt(speed / top) * SHADES)) : 0,
      live: node.live,
      speed,
    };
    const name = poolName(node.name);
    const cells = pools.get(name);
    if (cells) cells.push(cell);
    else pools.set(name, [cell]);
  }
  return joined(pools).map(({ name, cells }) => ({
    name,
    cells: cells.sort((a, b) => byName(a.name, b.name)),
  }));
}

/** Pools of one node, and the smallest where there are many, are one pool without a name, which comes last. */
function joined(pools: ReadonlyMap<string, Cell[]>): Pool[] {
  const bySize = [...pools].sort(([, a], [, b]) => b.length - a.length);
  const named = bySize.filter(([name, cells]) => name !== '' && cells.length > 1).slice(0, POOLS);
  const kept = new Set(named.map(([name]) => name));
  const others = bySize.filter(([name]) => !kept.has(name)).flatMap(([, cells]) => cells);
  const found = named.map(([name, cells]) => ({ name, cells })).sort((a, b) => byName(a.name, b.name));
  return others.length > 0 ? [...found, { name: '', cells: others }] : found;
}

/** At most so many cells, what is idle left out first; and how many are left out. */
export function cut(pools: readonly Pool[], most: number): { pools: readonly Pool[]; rest: number } {
  const all = pools.reduce((sum, { cells }) => sum + cells.length, 0);
  if (all <= most) return { pools, rest: 0 };
  let room = most;
  const pick = (keep: (cell: Cell) => boolean): Set<Cell> => {
    const picked = new Set<Cell>();
    for (const { cells } of pools) {
      for (const cell of cells) {
        if (room > 0 && keep(cell)) {
          picked.add(cell);
          room -= 1;
        }
      }
    }
    return picked;
  };
  const pressing = pick(({ state }) => state === 'failing' || state === 'silent' || state === 'stalled');
  const busy = pick((cell) => cell.state !== 'idle' && !pressing.has(cell));
  const idle = pick((cell) => cell.state === 'idle');
  const shown = pools
    .map(({ name, cells }) => ({
      name,
      cells: cells.filter((cell) => pressing.has(cell) || busy.has(cell) || idle.has(cell)),
    }))
    .filter(({ cells }) => cells.length > 0);
  return { pools: shown, rest: all - most };
}
