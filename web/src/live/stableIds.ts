// Stable ids of rows. A row gets a new id when an announced pull starts and when it is retried; to
// the user it remains one row in one place.

export class StableIds {
  /** Maps the current id of a superseding row to the first id. */
  #stableIds = new Map<string, string>();

  /** Returns the first id of the row. */
  stableId = (id: string): string => this.#stableIds.get(id) ?? id;

  recordSuccessor(id: string, previous: string): void {
    this.#stableIds.set(id, this.stableId(previous));
  }

  forget(id: string): void {
    this.#stableIds.delete(id);
  }
}
