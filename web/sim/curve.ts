// Something that grows, as straight pieces between moments.

export class Curve {
  #times: number[] = [];
  #values: number[] = [];

  /** What it is at the end. */
  get last(): number {
    return this.#values.at(-1) ?? 0;
  }

  /** It moves evenly to `value` from `since` on, and stood still before. */
  to(since: number, time: number, value: number): void {
    if ((this.#times.at(-1) ?? since) < since) this.push(since, this.last);
    this.push(time, value);
  }

  push(time: number, value: number): void {
    this.#times.push(time);
    this.#values.push(value);
  }

  /** 0 before it begins; what it was last after it ends. */
  at(time: number): number {
    let low = 0;
    let high = this.#times.length;
    // The first moment that is later.
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#times[middle] as number) <= time) low = middle + 1;
      else high = middle;
    }
    if (low === 0) return 0;
    const from = this.#values[low - 1] as number;
    if (low === this.#times.length) return from;
    const begin = this.#times[low - 1] as number;
    const share = (time - begin) / ((this.#times[low] as number) - begin);
    return from + share * ((this.#values[low] as number) - from);
  }
}
