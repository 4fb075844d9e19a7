// What the server said, and what of it is shown.
//
// Frames are folded in at once; React hears of it at most each `FLUSH_MS`, and only the rows that changed are drawn
// again. Rows are replaced, never changed, so the identity of a row is its version.

import type { Frame, NodeStatus, PullStatus } from '../api/gen/wire';
import { instant } from '../model/format';
import { isLive } from '../model/pull';
import { understand } from './frame';
import { Held } from './held';
import { Lines } from './lines';
import { moved } from './motion';

export const FLUSH_MS = 250;
/** With more rows than `MANY`, what is worked out over all of them (order, sums, groups) is so at most this often. */
export const BEAT_MS = 1_000;
const MANY = 1_000;

/** What came and could not be used. */
export interface Counts {
  /** Frames, or parts of frames, that are none. */
  notUnderstood: number;
  /** Motions and layers of rows that are not known. */
  unknownRow: number;
  /** Frames that are older than what is known already. */
  outOfOrder: number;
}

/**
 * `filling`: the first snapshot, shown as it comes. `refilling`: a later one; what is shown stays as it is until the
 * snapshot is whole. `whole`: changes come.
 */
export type Sync = 'filling' | 'refilling' | 'whole';

/** The speed of all nodes at a moment of this machine's clock; undefined where it was not known. */
export interface Sample {
  at: number;
  speed: number | undefined;
}

/** So many of them are kept, one each `SAMPLE_MS`: 15 minutes. */
export const SAMPLES = 450;
export const SAMPLE_MS = 2_000;

/** What is shown, whole. The maps go on changing, while this object stays the same. */
export interface All {
  rows: ReadonlyMap<string, PullStatus>;
  nodes: ReadonlyMap<string, NodeStatus>;
}

type Listener = () => void;

class Listeners {
  #all = new Map<string, Set<Listener>>();

  on(key: string, listener: Listener): () => void {
    const set = this.#all.get(key) ?? new Set();
    this.#all.set(key, set.add(listener));
    return () => {
      set.delete(listener);
      if (set.size === 0 && this.#all.get(key) === set) this.#all.delete(key);
    };
  }

  tell(key: string): void {
    for (const listener of this.#all.get(key) ?? []) listener();
  }
}

export class Store {
  // What the server said.
  #rows = new Map<string, PullStatus>();
  // Motions name rows by a number, which is of one life of the server.
  #ids = new Map<number, string>();
  #nodes = new Map<string, NodeStatus>();
  // What is shown of it.
  #shownRows = new Map<string, PullStatus>();
  #shownNodes = new Map<string, NodeStatus>();
  #all: All = { rows: this.#shownRows, nodes: this.#shownNodes };
  #beatAt = Number.NEGATIVE_INFINITY;
  #beatTimer: ReturnType<typeof setTimeout> | undefined;
  #paused = false;
  #lastFailed: PullStatus | undefined;
  #speeds: readonly Sample[] = [];

  #dirtyRows = new Set<string>();
  #dirtyNodes = new Set<string>();
  #held = new Held();
  /** Of rows that had another id before. */
  readonly lines = new Lines();
  #sync: Sync = 'filling';
  #shownSync: Sync = 'filling';
  #epoch = '';
  #lastId = '';
  #seq = 0;
  #skew: number | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #heldTimer: ReturnType<typeof setTimeout> | undefined;
  #flushedAt = Number.NEGATIVE_INFINITY;
  #rowListeners = new Listeners();
  #nodeListeners = new Listeners();
  #beatListeners = new Listeners();
  #syncListeners = new Listeners();

  readonly counts: Counts = { notUnderstood: 0, unknownRow: 0, outOfOrder: 0 };

  // --- what is shown ---

  row = (id: string): PullStatus | undefined => this.#shownRows.get(id);
  node = (name: string): NodeStatus | undefined => this.#shownNodes.get(name);
  /** All rows and nodes that are shown: another object each time that they are worth being looked at again. */
  all = (): All => this.#all;
  sync = (): Sync => this.#shownSync;
  speeds = (): readonly Sample[] => this.#speeds;
  /** The pull whose failure was seen last, by this page. */
  lastFailed = (): PullStatus | undefined => this.#lastFailed;
  paused = (): boolean => this.#paused;
  /** How many rows have changed since the reader paused the page. */
  waiting = (): number => (this.#paused ? this.#dirtyRows.size : 0);

  onRow = (id: string, listener: Listener): (() => void) => this.#rowListeners.on(id, listener);
  onNode = (name: string, listener: Listener): (() => void) => this.#nodeListeners.on(name, listener);
  /** For what is worked out over all rows and nodes. */
  onBeat = (listener: Listener): (() => void) => this.#beatListeners.on('', listener);
  /** The state of the snapshot, failures, and whether the page is paused. */
  onSync = (listener: Listener): (() => void) => this.#syncListeners.on('', listener);

  /** Nothing that is shown changes until the reader goes on; all of it is taken in meanwhile. */
  pause(on: boolean): void {
    if (this.#paused === on) return;
    this.#paused = on;
    this.#syncListeners.tell('');
    this.flush();
  }

  /** The server's clock in milliseconds, as near as its frames tell it, at a moment of this machine's. */
  now = (at: number = Date.now()): number => at + (this.#skew ?? 0);

  // --- what comes ---

  /** Where to go on after a cut; undefined where only a new snapshot helps. */
  position(): string | undefined {
    return this.#sync === 'whole' && this.#lastId !== '' ? this.#lastId : undefined;
  }

  /** A connection begins: what its first frame says of the server's clock holds. */
  connected(): void {
    this.#skew = undefined;
  }

  /** All of an event of the stream. */
  event(event: string, data: string, id: string): void {
    if (event === 'reset') this.begin();
    if (id !== '') this.#lastId = id;
    if (event === 'snapshot-end') this.#end();
    if (event !== 'frame') return;
    const understood = understand(data);
    if (understood === undefined) {
      this.counts.notUnderstood += 1;
      return;
    }
    this.counts.notUnderstood += understood.left;
    this.#apply(understood.frame);
  }

  /** What is known is of the past: a new snapshot follows. */
  begin(): void {
    this.#sync = this.#shownRows.size + this.#shownNodes.size === 0 ? 'filling' : 'refilling';
    this.#rows = new Map();
    this.#ids = new Map();
    this.#nodes = new Map();
    this.#held.clear();
    this.#lastId = '';
    this.#seq = 0;
    this.#schedule();
  }

  #apply(frame: Frame): void {
    // Frames of a snapshot may each be of another time; changes come in order.
    if (this.#sync === 'whole') {
      if (frame.seq < this.#seq) {
        this.counts.outOfOrder += 1;
        return;
      }
      this.#seq = frame.seq;
    }
    const now = Date.now();
    const clock = instant(frame.now);
    if (clock !== undefined) {
      // The frame that took least time to come tells the difference best.
      this.#skew = Math.max(clock - now, this.#skew ?? Number.NEGATIVE_INFINITY);
    }
    for (const row of frame.rows ?? []) {
      this.#rows.set(row.id, row);
      if (row.row !== undefined) this.#ids.set(row.row, row.id);
      this.#dirtyRows.add(row.id);
      this.#held.seen(row.id);
      this.#held.heard(row.nodeName, now);
      if (row.supersedes !== undefined) this.#supersede(row, row.supersedes);
    }
    for (const motion of frame.up ?? []) {
      const row = this.#rows.get(this.#ids.get(motion[0]) ?? '');
      if (row === undefined) {
        this.counts.unknownRow += 1;
        continue;
      }
      this.counts.unknownRow += motion[9].filter(([index]) => !row.layers?.[index]).length;
      this.#rows.set(row.id, moved(row, motion));
      this.#dirtyRows.add(row.id);
    }
    for (const id of frame.rm ?? []) this.#forget(id);
    for (const node of frame.nodes ?? []) {
      if (node.removed) this.#nodes.delete(node.name);
      else this.#nodes.set(node.name, node);
      this.#dirtyNodes.add(node.name);
      this.#held.heard(node.name, now);
    }
    this.#schedule();
  }

  #forget(id: string): void {
    this.#ids.delete(this.#rows.get(id)?.row ?? 0);
    this.#rows.delete(id);
    this.#dirtyRows.add(id);
    this.#held.seen(id);
  }

  /** The row is what another one has become. */
  #supersede(row: PullStatus, before: string): void {
    const known = this.#rows.get(before) ?? this.#shownRows.get(before);
    if (before === row.id || known?.nodeName !== row.nodeName) return;
    this.#forget(before);
    this.lines.goesOn(row.id, before);
  }

  #end(): void {
    if (this.#sync === 'whole') return;
    const epoch = this.#lastId.slice(0, Math.max(0, this.#lastId.lastIndexOf('-')));
    if (this.#sync === 'refilling') {
      if (this.#epoch !== '' && epoch !== this.#epoch) this.#hold();
      for (const id of this.#shownRows.keys()) this.#dirtyRows.add(id);
      for (const name of this.#shownNodes.keys()) this.#dirtyNodes.add(name);
    }
    this.#epoch = epoch;
    this.#sync = 'whole';
    this.#schedule();
  }

  /**
   * After a restart the server knows a node's pulls when the node has reported again, and not before. One that is
   * heard already may have said only what changed, and says the rest when it is asked.
   */
  #hold(): void {
    const now = Date.now();
    const since = new Date(this.now()).toISOString();
    const superseded = new Set([...this.#rows.values()].map((row) => row.supersedes));
    for (const [id, row] of this.#shownRows) {
      if (this.#rows.has(id) || superseded.has(id)) continue;
      this.#rows.set(id, isLive(row) && !row.staleSince ? { ...row, staleSince: since } : row);
      this.#held.row(id, row.nodeName, now);
      if (this.#nodes.has(row.nodeName)) this.#held.heard(row.nodeName, now);
    }
    for (const [name, node] of this.#shownNodes) {
      if (this.#nodes.has(name)) continue;
      this.#nodes.set(name, { ...node, state: 'lost' });
      this.#held.node(name, now);
    }
  }

  #release(): void {
    if (this.#held.size === 0) return;
    const { rows, nodes } = this.#held.take(Date.now());
    for (const id of rows) {
      this.#rows.delete(id);
      this.#dirtyRows.add(id);
    }
    for (const name of nodes) {
      this.#nodes.delete(name);
      this.#dirtyNodes.add(name);
    }
  }

  // --- from the one to the other ---

  #schedule(): void {
    if (this.#timer !== undefined) return;
    const wait = Math.min(FLUSH_MS, Math.max(0, this.#flushedAt + FLUSH_MS - performance.now()));
    this.#timer = setTimeout(this.flush, wait);
  }

  flush = (): void => {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#flushedAt = performance.now();
    if (this.#sync === 'refilling') {
      if (this.#shownSync !== 'refilling') {
        this.#shownSync = 'refilling';
        this.#syncListeners.tell('');
      }
      return;
    }
    if (this.#paused) {
      this.#syncListeners.tell('');
      return;
    }
    this.#release();
    const dirtyRows = this.#dirtyRows;
    const dirtyNodes = this.#dirtyNodes;
    this.#dirtyRows = new Set();
    this.#dirtyNodes = new Set();

    for (const id of dirtyRows) {
      const before = this.#shownRows.get(id);
      const row = this.#rows.get(id);
      if (!row) this.lines.forget(id);
      if (before === row) {
        dirtyRows.delete(id);
        continue;
      }
      if (row) this.#shownRows.set(id, row);
      else this.#shownRows.delete(id);
      if (row?.outcome === 'failed' && this.#isNews(row, before)) this.#lastFailed = row;
    }
    for (const name of dirtyNodes) {
      const node = this.#nodes.get(name);
      if (node) this.#shownNodes.set(name, node);
      else this.#shownNodes.delete(name);
    }
    this.#shownSync = this.#sync;
    this.#sample();

    for (const id of dirtyRows) this.#rowListeners.tell(id);
    for (const name of dirtyNodes) this.#nodeListeners.tell(name);
    this.#syncListeners.tell('');
    this.#look(dirtyRows.size + dirtyNodes.size > 0);
    clearTimeout(this.#heldTimer);
    if (this.#held.size > 0) this.#heldTimer = setTimeout(this.flush, 1_000);
  };

  /** Has all rows looked at again, now or as soon as that is allowed. */
  #look(changed: boolean): void {
    if (!changed || this.#beatTimer !== undefined) return;
    const every = this.#shownRows.size > MANY ? BEAT_MS : 0;
    const wait = this.#beatAt + every - performance.now();
    const beat = () => {
      this.#beatTimer = undefined;
      this.#beatAt = performance.now();
      this.#all = { rows: this.#shownRows, nodes: this.#shownNodes };
      this.#beatListeners.tell('');
    };
    if (wait <= 0) beat();
    else this.#beatTimer = setTimeout(beat, wait);
  }

  /** A failure that begins here. The next try of what has failed already is none. */
  #isNews(row: PullStatus, before: PullStatus | undefined): boolean {
    if ((row.attempt ?? 1) > 1) return false;
    return before ? isLive(before) : this.#shownSync === 'whole';
  }

  #sample(): void {
    const now = Date.now();
    const last = this.#speeds.at(-1);
    if (last !== undefined && now - last.at < SAMPLE_MS) return;
    this.#speeds = [
      ...this.#speeds.slice(1 - SAMPLES),
      { at: now, speed: speedOf(this.#shownNodes.values()) },
    ];
  }
}

/** The speed of all nodes that are heard: 0 where none of them pulls, undefined where none knows. */
function speedOf(nodes: Iterable<NodeStatus>): number | undefined {
  let sum: number | undefined;
  let live = 0;
  for (const node of nodes) {
    if (node.state === 'lost') continue;
    live += node.live;
    if (node.bytesPerSec !== undefined) sum = (sum ?? 0) + node.bytesPerSec;
  }
  return live === 0 ? 0 : sum;
}
