// The node grid: one cell per node, grouped into pools.

import type { NodeStatus, PullStatus } from '../api/gen/wire';
import { isLive, pullState } from './pull';

/** The most urgent of the states that apply to a node. */
export type CellState = 'silent' | 'failing' | 'stalled' | 'extracting' | 'pulling' | 'waiting' | 'idle';

export interface Cell {
  name: string;
  state: CellState;
  /** Speed relative to the fastest node, 1 to 4; 0 without a current speed. */
  shade: number;
  live: number;
  speed: number | undefined;
}

export interface Pool {
  /** Common prefix of the node names; empty for the pool of all other nodes. */
  name: string;
  cells: Cell[];
}

/** A name part that varies within a pool: number, hash or scale-set id (`vmss000001`). */
const INSTANCE_PART = /^(\d+|[0-9a-f]*\d[0-9a-f]*|vmss\w+)$/i;

/** Returns `gpu-worker` for `gpu-worker-14`; empty without a numbered part after a dash. */
export function poolName(node: string): string {
  const parts = (node.split('.')[0] ?? '').split('-');
  const last = parts.pop() ?? '';
  if (parts.length === 0 || !/\d/.test(last)) return '';
  while (parts.length > 1 && INSTANCE_PART.test(parts.at(-1) ?? '')) parts.pop();
  return parts.join('-');
}

const SHADES = 4;
/** Maximum number of named pools; the smallest ones beyond it are merged. */
const MAX_POOLS = 6;

interface NodeActivity {
  extracting: boolean;
  downloading: boolean;
  resolving: boolean;
  stalled: boolean;
}

function nodeActivity(pulls: Iterable<PullStatus>): Map<string, NodeActivity> {
  const found = new Map<string, NodeActivity>();
  for (const pull of pulls) {
    if (!isLive(pull)) continue;
    const state = pullState(pull);
    let activity = found.get(pull.nodeName);
    if (activity === undefined) {
      activity = { extracting: false, downloading: false, resolving: false, stalled: false };
      found.set(pull.nodeName, activity);
    }
    if (state === 'stalled') activity.stalled = true;
    else if (state === 'extracting') activity.extracting = true;
    else if (state === 'downloading') activity.downloading = true;
    else if (state === 'resolving') activity.resolving = true;
  }
  return found;
}

function cellState(node: NodeStatus, activity: NodeActivity | undefined, failing: boolean): CellState {
  // The last report of a silent node is outdated.
  if (node.state === 'lost') return 'silent';
  if (failing) return 'failing';
  if (activity?.stalled) return 'stalled';
  if (activity?.downloading || activity?.resolving) return 'pulling';
  if (activity?.extracting) return 'extracting';
  return node.live > 0 ? 'waiting' : 'idle';
}

const byName = new Intl.Collator('en', { numeric: true }).compare;

/**
 * Pools sorted by name, with nodes sorted by name, so that state changes move no cells. `failing`:
 * names of nodes with failures.
 */
export function nodeGrid(
  nodes: Iterable<NodeStatus>,
  pulls: Iterable<PullStatus>,
  failing: ReadonlySet<string> = new Set(),
): Pool[] {
  const activity = nodeActivity(pulls);
  const all = [...nodes];
  const fastest = all.reduce(
    (max, node) => Math.max(max, node.state === 'lost' ? 0 : (node.bytesPerSec ?? 0)),
    0,
  );
  const pools = new Map<string, Cell[]>();
  for (const node of all) {
    const state = cellState(node, activity.get(node.name), failing.has(node.name));
    const speed = state === 'silent' || node.live === 0 ? undefined : node.bytesPerSec;
    const cell: Cell = {
      name: node.name,
      state,
      // The square root spreads the shades: most nodes are far slower than the fastest.
      shade: speed && fastest > 0 ? Math.max(1, Math.ceil(Math.sqrt(speed / fastest) * SHADES)) : 0,
      live: node.live,
      speed,
    };
    const name = poolName(node.name);
    const cells = pools.get(name);
    if (cells) cells.push(cell);
    else pools.set(name, [cell]);
  }
  return mergeSmallPools(pools).map(({ name, cells }) => ({
    name,
    cells: cells.sort((a, b) => byName(a.name, b.name)),
  }));
}

/**
 * Merges nodes without a pool, pools of a single node, and the smallest pools beyond `MAX_POOLS`
 * into one unnamed pool at the end.
 */
function mergeSmallPools(pools: ReadonlyMap<string, Cell[]>): Pool[] {
  const bySize = [...pools].sort(([, a], [, b]) => b.length - a.length);
  const named = bySize.filter(([name, cells]) => name !== '' && cells.length > 1).slice(0, MAX_POOLS);
  const kept = new Set(named.map(([name]) => name));
  const others = bySize.filter(([name]) => !kept.has(name)).flatMap(([, cells]) => cells);
  const found = named.map(([name, cells]) => ({ name, cells })).sort((a, b) => byName(a.name, b.name));
  return others.length > 0 ? [...found, { name: '', cells: others }] : found;
}

/** Limits the number of cells: drops idle ones, then busy ones. `rest` is the number dropped. */
export function limitCells(pools: readonly Pool[], limit: number): { pools: readonly Pool[]; rest: number } {
  const all = pools.reduce((sum, { cells }) => sum + cells.length, 0);
  if (all <= limit) return { pools, rest: 0 };
  let remaining = limit;
  const pick = (keep: (cell: Cell) => boolean): Set<Cell> => {
    const picked = new Set<Cell>();
    for (const { cells } of pools) {
      for (const cell of cells) {
        if (remaining > 0 && keep(cell)) {
          picked.add(cell);
          remaining -= 1;
        }
      }
    }
    return picked;
  };
  const urgent = pick(({ state }) => state === 'failing' || state === 'silent' || state === 'stalled');
  const busy = pick((cell) => cell.state !== 'idle' && !urgent.has(cell));
  const idle = pick((cell) => cell.state === 'idle');
  const shown = pools
    .map(({ name, cells }) => ({
      name,
      cells: cells.filter((cell) => urgent.has(cell) || busy.has(cell) || idle.has(cell)),
    }))
    .filter(({ cells }) => cells.length > 0);
  return { pools: shown, rest: all - limit };
}
