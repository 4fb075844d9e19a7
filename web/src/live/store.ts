// The server's state, and the part of it that is shown.
//
// Frames are applied immediately. React is notified at most every `FLUSH_MS`, and only changed rows
// rerender. Rows are replaced, never mutated, so the identity of a row is its version.

import type { Frame, NodeStatus, PullStatus } from '../api/gen/wire';
import { parseInstant } from '../model/format';
import { isLive } from '../model/pull';
import { parseFrame } from './frame';
import { applyMotion } from './motion';
import { RetainedRows } from './retained';
import { StableIds } from './stableIds';

export const FLUSH_MS = 250;
/**
 * Above `MANY_ROWS` rows, aggregates over all of them (order, sums, groups) are recomputed at most
 * this often.
 */
export const DATASET_INTERVAL_MS = 1_000;
const MANY_ROWS = 1_000;

/** Counts of received data that was dropped. */
export interface DropCounts {
  /** Invalid frames or parts of frames. */
  invalid: number;
  /** Motions of unknown rows. */
  unknownRows: number;
  /** Frames older than the current state. */
  outOfOrder: number;
}

/**
 * `loading`: the first snapshot, shown while it arrives. `resyncing`: a later snapshot; the shown
 * data stays unchanged until it is complete. `synced`: receiving changes.
 */
export type SyncState = 'loading' | 'resyncing' | 'synced';

/** Total speed of all nodes, by the local clock; undefined if unknown. */
export interface ThroughputSample {
  at: number;
  speed: number | undefined;
}

/** Number of samples kept, one every `SAMPLE_INTERVAL_MS`: 15 minutes. */
export const MAX_SAMPLES = 450;
export const SAMPLE_INTERVAL_MS = 2_000;

/** All shown rows and nodes. The maps are mutated while this object stays the same. */
export interface Dataset {
  rows: ReadonlyMap<string, PullStatus>;
  nodes: ReadonlyMap<string, NodeStatus>;
}

type Listener = () => void;

class Listeners {
  #byKey = new Map<string, Set<Listener>>();

  on(key: string, listener: Listener): () => void {
    const set = this.#byKey.get(key) ?? new Set();
    this.#byKey.set(key, set.add(listener));
    return () => {
      set.delete(listener);
      if (set.size === 0 && this.#byKey.get(key) === set) this.#byKey.delete(key);
    };
  }

  notify(key: string): void {
    for (const listener of this.#byKey.get(key) ?? []) listener();
  }
}

export class Store {
  // State of the server.
  #rows = new Map<string, PullStatus>();
  // Motions refer to rows by number; the numbers are valid within one epoch of the server.
  #ids = new Map<number, string>();
  #nodes = new Map<string, NodeStatus>();
  // State that is shown.
  #shownRows = new Map<string, PullStatus>();
  #shownNodes = new Map<string, NodeStatus>();
  #byKey: Dataset = { rows: this.#shownRows, nodes: this.#shownNodes };
  #datasetAt = Number.NEGATIVE_INFINITY;
  #datasetTimer: ReturnType<typeof setTimeout> | undefined;
  #paused = false;
  #lastFailed: PullStatus | undefined;
  #throughputSamples: readonly ThroughputSample[] = [];

  #dirtyRows = new Set<string>();
  #dirtyNodes = new Set<string>();
  #retained = new RetainedRows();
  /** Stable ids of superseded rows. */
  readonly stableIds = new StableIds();
  #syncState: SyncState = 'loading';
  #shownSyncState: SyncState = 'loading';
  #epoch = '';
  #lastId = '';
  #seq = 0;
  #clockOffset: number | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #retainedTimer: ReturnType<typeof setTimeout> | undefined;
  #flushedAt = Number.NEGATIVE_INFINITY;
  #rowListeners = new Listeners();
  #nodeListeners = new Listeners();
  #datasetListeners = new Listeners();
  #syncListeners = new Listeners();

  readonly dropCounts: DropCounts = { invalid: 0, unknownRows: 0, outOfOrder: 0 };

  // --- shown state ---

  row = (id: string): PullStatus | undefined => this.#shownRows.get(id);
  node = (name: string): NodeStatus | undefined => this.#shownNodes.get(name);
  /** All shown rows and nodes. A new object means that aggregates should be recomputed. */
  dataset = (): Dataset => this.#byKey;
  syncState = (): SyncState => this.#shownSyncState;
  throughputSamples = (): readonly ThroughputSample[] => this.#throughputSamples;
  /** The pull whose failure this page observed last. */
  lastFailed = (): PullStatus | undefined => this.#lastFailed;
  paused = (): boolean => this.#paused;
  /** Number of rows that changed since the page was paused. */
  pendingChanges = (): number => (this.#paused ? this.#dirtyRows.size : 0);

  onRow = (id: string, listener: Listener): (() => void) => this.#rowListeners.on(id, listener);
  onNode = (name: string, listener: Listener): (() => void) => this.#nodeListeners.on(name, listener);
  /** Notifies when aggregates over all rows and nodes should be recomputed. */
  onDataset = (listener: Listener): (() => void) => this.#datasetListeners.on('', listener);
  /** Notifies about sync state, failures and pausing. */
  onSyncState = (listener: Listener): (() => void) => this.#syncListeners.on('', listener);

  /** Freezes the shown state until resumed. Frames are still applied. */
  pause(on: boolean): void {
    if (this.#paused === on) return;
    this.#paused = on;
    this.#syncListeners.notify('');
    this.flush();
  }

  /** The server's clock in milliseconds at local time `at`, estimated from frames. */
  serverNow = (at: number = Date.now()): number => at + (this.#clockOffset ?? 0);

  // --- receiving ---

  /** The event id to resume from; undefined if a new snapshot is needed. */
  resumeId(): string | undefined {
    return this.#syncState === 'synced' && this.#lastId !== '' ? this.#lastId : undefined;
  }

  /** A new connection: the clock offset is measured again. */
  connected(): void {
    this.#clockOffset = undefined;
  }

  /** Handles one event of the stream. */
  handleEvent(event: string, data: string, id: string): void {
    if (event === 'reset') this.beginSnapshot();
    if (id !== '') this.#lastId = id;
    if (event === 'snapshot-end') this.#endSnapshot();
    if (event !== 'frame') return;
    const parsed = parseFrame(data);
    if (parsed === undefined) {
      this.dropCounts.invalid += 1;
      return;
    }
    this.dropCounts.invalid += parsed.dropped;
    this.#apply(parsed.frame);
  }

  /** Discards the state; a new snapshot follows. */
  beginSnapshot(): void {
    this.#syncState = this.#shownRows.size + this.#shownNodes.size === 0 ? 'loading' : 'resyncing';
    this.#rows = new Map();
    this.#ids = new Map();
    this.#nodes = new Map();
    this.#retained.clear();
    this.#lastId = '';
    this.#seq = 0;
    this.#schedule();
  }

  #apply(frame: Frame): void {
    // Frames of a snapshot may be of different times; changes are ordered.
    if (this.#syncState === 'synced') {
      if (frame.seq < this.#seq) {
        this.dropCounts.outOfOrder += 1;
        return;
      }
      this.#seq = frame.seq;
    }
    const now = Date.now();
    const clock = parseInstant(frame.now);
    if (clock !== undefined) {
      // The frame with the least latency gives the best estimate.
      this.#clockOffset = Math.max(clock - now, this.#clockOffset ?? Number.NEGATIVE_INFINITY);
    }
    for (const row of frame.rows ?? []) {
      this.#rows.set(row.id, row);
      if (row.row !== undefined) this.#ids.set(row.row, row.id);
      this.#dirtyRows.add(row.id);
      this.#retained.rowReported(row.id);
      this.#retained.nodeReported(row.nodeName, now);
      if (row.supersedes !== undefined) this.#supersede(row, row.supersedes);
    }
    for (const motion of frame.up ?? []) {
      const row = this.#rows.get(this.#ids.get(motion[0]) ?? '');
      if (row === undefined) {
        this.dropCounts.unknownRows += 1;
        continue;
      }
      this.#rows.set(row.id, applyMotion(row, motion));
      this.#dirtyRows.add(row.id);
    }
    for (const id of frame.rm ?? []) this.#removeRow(id);
    for (const node of frame.nodes ?? []) {
      if (node.removed) this.#nodes.delete(node.name);
      else this.#nodes.set(node.name, node);
      this.#dirtyNodes.add(node.name);
      this.#retained.nodeReported(node.name, now);
    }
    this.#schedule();
  }

  #removeRow(id: string): void {
    this.#ids.delete(this.#rows.get(id)?.row ?? 0);
    this.#rows.delete(id);
    this.#dirtyRows.add(id);
    this.#retained.rowReported(id);
  }

  /** Replaces the row `before` by `row`. */
  #supersede(row: PullStatus, before: string): void {
    const previousRow = this.#rows.get(before) ?? this.#shownRows.get(before);
    if (before === row.id || previousRow?.nodeName !== row.nodeName) return;
    this.#removeRow(before);
    this.stableIds.recordSuccessor(row.id, before);
  }

  #endSnapshot(): void {
    if (this.#syncState === 'synced') return;
    const epoch = this.#lastId.slice(0, Math.max(0, this.#lastId.lastIndexOf('-')));
    if (this.#syncState === 'resyncing') {
      if (this.#epoch !== '' && epoch !== this.#epoch) this.#retainMissing();
      for (const id of this.#shownRows.keys()) this.#dirtyRows.add(id);
      for (const name of this.#shownNodes.keys()) this.#dirtyNodes.add(name);
    }
    this.#epoch = epoch;
    this.#syncState = 'synced';
    this.#schedule();
  }

  /**
   * After a restart the server knows a node's pulls only once the node has reported. A node that
   * has reported may have sent only its changes; the rest follows on request.
   */
  #retainMissing(): void {
    const now = Date.now();
    const since = new Date(this.serverNow()).toISOString();
    const superseded = new Set([...this.#rows.values()].map((row) => row.supersedes));
    for (const [id, row] of this.#shownRows) {
      if (this.#rows.has(id) || superseded.has(id)) continue;
      this.#rows.set(id, isLive(row) && !row.staleSince ? { ...row, staleSince: since } : row);
      this.#retained.retainRow(id, row.nodeName, now);
      if (this.#nodes.has(row.nodeName)) this.#retained.nodeReported(row.nodeName, now);
    }
    for (const [name, node] of this.#shownNodes) {
      if (this.#nodes.has(name)) continue;
      this.#nodes.set(name, { ...node, state: 'lost' });
      this.#retained.retainNode(name, now);
    }
  }

  #releaseExpired(): void {
    if (this.#retained.size === 0) return;
    const { rows, nodes } = this.#retained.takeExpired(Date.now());
    for (const id of rows) {
      this.#rows.delete(id);
      this.#dirtyRows.add(id);
    }
    for (const name of nodes) {
      this.#nodes.delete(name);
      this.#dirtyNodes.add(name);
    }
  }

  // --- flushing ---

  #schedule(): void {
    if (this.#timer !== undefined) return;
    const wait = Math.min(FLUSH_MS, Math.max(0, this.#flushedAt + FLUSH_MS - performance.now()));
    this.#timer = setTimeout(this.flush, wait);
  }

  flush = (): void => {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#flushedAt = performance.now();
    if (this.#syncState === 'resyncing') {
      if (this.#shownSyncState !== 'resyncing') {
        this.#shownSyncState = 'resyncing';
        this.#syncListeners.notify('');
      }
      return;
    }
    if (this.#paused) {
      this.#syncListeners.notify('');
      return;
    }
    this.#releaseExpired();
    const dirtyRows = this.#dirtyRows;
    const dirtyNodes = this.#dirtyNodes;
    this.#dirtyRows = new Set();
    this.#dirtyNodes = new Set();

    for (const id of dirtyRows) {
      const before = this.#shownRows.get(id);
      const row = this.#rows.get(id);
      if (!row) this.stableIds.forget(id);
      if (before === row) {
        dirtyRows.delete(id);
        continue;
      }
      if (row) this.#shownRows.set(id, row);
      else this.#shownRows.delete(id);
      if (row?.outcome === 'failed' && this.#isNewFailure(row, before)) this.#lastFailed = row;
    }
    for (const name of dirtyNodes) {
      const node = this.#nodes.get(name);
      if (node) this.#shownNodes.set(name, node);
      else this.#shownNodes.delete(name);
    }
    this.#shownSyncState = this.#syncState;
    this.#sampleThroughput();

    for (const id of dirtyRows) this.#rowListeners.notify(id);
    for (const name of dirtyNodes) this.#nodeListeners.notify(name);
    this.#syncListeners.notify('');
    this.#publishDataset(dirtyRows.size + dirtyNodes.size > 0);
    clearTimeout(this.#retainedTimer);
    if (this.#retained.size > 0) this.#retainedTimer = setTimeout(this.flush, 1_000);
  };

  /** Publishes a new dataset, now or when the throttle interval ends. */
  #publishDataset(changed: boolean): void {
    if (!changed || this.#datasetTimer !== undefined) return;
    const every = this.#shownRows.size > MANY_ROWS ? DATASET_INTERVAL_MS : 0;
    const wait = this.#datasetAt + every - performance.now();
    const publish = () => {
      this.#datasetTimer = undefined;
      this.#datasetAt = performance.now();
      this.#byKey = { rows: this.#shownRows, nodes: this.#shownNodes };
      this.#datasetListeners.notify('');
    };
    if (wait <= 0) publish();
    else this.#datasetTimer = setTimeout(publish, wait);
  }

  /** Returns whether the failure is new; a failed retry is not. */
  #isNewFailure(row: PullStatus, before: PullStatus | undefined): boolean {
    if ((row.attempt ?? 1) > 1) return false;
    return before ? isLive(before) : this.#shownSyncState === 'synced';
  }

  #sampleThroughput(): void {
    const now = Date.now();
    const last = this.#throughputSamples.at(-1);
    if (last !== undefined && now - last.at < SAMPLE_INTERVAL_MS) return;
    this.#throughputSamples = [
      ...this.#throughputSamples.slice(1 - MAX_SAMPLES),
      { at: now, speed: totalSpeed(this.#shownNodes.values()) },
    ];
  }
}

/**
 * Total speed of all reporting nodes: 0 if none of them pulls, undefined if none knows its speed.
 */
function totalSpeed(nodes: Iterable<NodeStatus>): number | undefined {
  let sum: number | undefined;
  let live = 0;
  for (const node of nodes) {
    if (node.state === 'lost') continue;
    live += node.live;
    if (node.bytesPerSec !== undefined) sum = (sum ?? 0) + node.bytesPerSec;
  }
  return live === 0 ? 0 : sum;
}
