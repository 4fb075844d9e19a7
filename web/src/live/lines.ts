// What outlives the id of a row. A pull that was announced goes on under another id once it is seen, and so does its
// next try: to people it is one row, which stays where it is.

export class Lines {
  /** The first id of those rows that had another one before. */
  #first = new Map<string, string>();

  /** The id that the row had first. */
  first = (id: string): string => this.#first.get(id) ?? id;

  goesOn(id: string, before: string): void {
    this.#first.set(id, this.first(before));
  }

  forget(id: string): void {
    this.#first.delete(id);
  }
}
