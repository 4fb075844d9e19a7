// Rows of nodes from which a restarted server has not heard yet. They are shown as not seen, rather than gone and
// back a second later.

/** How long a node may take to report to a restarted server. */
const SILENT_MS = 15_000;
/** How long a node that is heard again may take to say all that it knows. */
const HEARD_MS = 2_000;

interface Waited {
  until: number;
  heard: boolean;
  rows: Set<string>;
}

export class Held {
  #nodes = new Map<string, Waited>();

  get size(): number {
    return this.#nodes.size;
  }

  node(name: string, now: number): Waited {
    const found = this.#nodes.get(name) ?? { until: now + SILENT_MS, heard: false, rows: new Set() };
    this.#nodes.set(name, found);
    return found;
  }

  row(id: string, node: string, now: number): void {
    this.node(node, now).rows.add(id);
  }

  /** The server speaks of the row itself. */
  seen(id: string): void {
    for (const { rows } of this.#nodes.values()) rows.delete(id);
  }

  /** The server has heard the node. */
  heard(name: string, now: number): void {
    const node = this.#nodes.get(name);
    if (node === undefined || node.heard) return;
    node.heard = true;
    node.until = Math.min(node.until, now + HEARD_MS);
  }

  /** Takes out what was held long enough: the ids of rows, and the nodes that were never heard again. */
  take(now: number): { rows: string[]; nodes: string[] } {
    const over = [...this.#nodes].filter(([, { until }]) => now >= until);
    for (const [name] of over) this.#nodes.delete(name);
    return {
      rows: over.flatMap(([, { rows }]) => [...rows]),
      nodes: over.filter(([, { heard }]) => !heard).map(([name]) => name),
    };
  }

  clear(): void {
    this.#nodes.clear();
  }
}
