// What outlives the id of a row. A pull that was announced goes on under another id once it is seen, and so does its
// next try: to people it is one row, which stays where it is and as open as they left it.

export class Lines {
  /** The first id of those rows that had another one before. */
  #first = new Map<string, string>();
  #open = new Map<string, boolean>();

  /** The id that the row had first. */
  first = (id: string): string => this.#first.get(id) ?? id;

  /** Whether somebody opened or closed it. */
  open = (id: string): boolean | undefined => this.#open.get(this.first(id));

  choose(id: string, open: boolean): void {
    this.#open.set(this.first(id), open);
  }

  goesOn(id: string, before: string): void {
    this.#first.set(id, this.first(before));
  }

  /** These rows are gone; of those that go on under another id, what people chose stays. */
  forget(gone: readonly string[], shown: Iterable<string>): void {
    const firsts = gone.map(this.first);
    for (const id of gone) this.#first.delete(id);
    if (!firsts.some((first) => this.#open.has(first))) return;
    const still = new Set([...shown].map(this.first));
    for (const first of firsts) if (!still.has(first)) this.#open.delete(first);
  }
}
