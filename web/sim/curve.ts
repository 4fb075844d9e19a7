// A piecewise linear function of time.

export class Curve {
  #times: number[] = [];
  #values: number[] = [];

  get lastValue(): number {
    return this.#values.at(-1) ?? 0;
  }

  /** Constant until `from`, then linear to `value` at `time`. */
  moveTo(from: number, time: number, value: number): void {
    if ((this.#times.at(-1) ?? from) < from) this.addPoint(from, this.lastValue);
    this.addPoint(time, value);
  }

  addPoint(time: number, value: number): void {
    this.#times.push(time);
    this.#values.push(value);
  }

  /** 0 before the first point, constant after the last. */
  at(time: number): number {
    let low = 0;
    let high = this.#times.length;
    // Index of the first later point.
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#times[middle] as number) <= time) low = middle + 1;
      else high = middle;
    }
    if (low === 0) return 0;
    const from = this.#values[low - 1] as number;
    if (low === this.#times.length) return from;
    const start = this.#times[low - 1] as number;
    const share = (time - start) / ((this.#times[low] as number) - start);
    return from + share * ((this.#values[low] as number) - from);
  }
}
