// After a server restart, keeps the rows of nodes that have not reported to the new server yet.
// They are shown as stale instead of disappearing and reappearing a second later.

/** Time a node has to report to a restarted server. */
const REPORT_GRACE_MS = 15_000;
/** Time a node has to send its full state once it reports again. */
const SYNC_GRACE_MS = 2_000;

interface RetainedNode {
  expiresAt: number;
  hasReported: boolean;
  rows: Set<string>;
}

export class RetainedRows {
  #nodes = new Map<string, RetainedNode>();

  get size(): number {
    return this.#nodes.size;
  }

  retainNode(name: string, now: number): RetainedNode {
    const found = this.#nodes.get(name) ?? {
      expiresAt: now + REPORT_GRACE_MS,
      hasReported: false,
      rows: new Set(),
    };
    this.#nodes.set(name, found);
    return found;
  }

  retainRow(id: string, node: string, now: number): void {
    this.retainNode(node, now).rows.add(id);
  }

  /** Called when the server sends the row itself. */
  rowReported(id: string): void {
    for (const { rows } of this.#nodes.values()) rows.delete(id);
  }

  /** Called when the node has reported to the server. */
  nodeReported(name: string, now: number): void {
    const node = this.#nodes.get(name);
    if (node === undefined || node.hasReported) return;
    node.hasReported = true;
    node.expiresAt = Math.min(node.expiresAt, now + SYNC_GRACE_MS);
  }

  /** Removes expired entries. Returns the ids of their rows, and the nodes that never reported. */
  takeExpired(now: number): { rows: string[]; nodes: string[] } {
    const expired = [...this.#nodes].filter(([, { expiresAt }]) => now >= expiresAt);
    for (const [name] of expired) this.#nodes.delete(name);
    return {
      rows: expired.flatMap(([, { rows }]) => [...rows]),
      nodes: expired.filter(([, { hasReported }]) => !hasReported).map(([name]) => name),
    };
  }

  clear(): void {
    this.#nodes.clear();
  }
}
