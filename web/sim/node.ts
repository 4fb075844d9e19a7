// Plays what one node does: which pulls run, how the downloads share its line, what waits for what. Goes from one event to
// the next, and between two events everything moves at one speed; so what it records can be asked for any moment.

import type { Failure } from '../src/api/gen/wire';
import { type Image, type ImageLayer, imageOf } from './catalogue';
import { Curve } from './curve';
import { HINTS, text } from './failures';
import type { NodePlan, Plan, PodPlan, SlotPlan, Twist } from './plan';
import { between } from './random';

/** containerd's `max_concurrent_downloads`. */
const SLOTS = 3;
/** The speed of a line is another one each so many seconds. */
const WINDOW = 2;
/** The kubelet's back-off, in seconds. */
const FIRST_BACK_OFF = 10;
const LONGEST_BACK_OFF = 300;

export interface LayerRecord {
  of: ImageLayer;
  /** `own` is downloaded by this pull, `shared` by another one. */
  origin: 'own' | 'shared' | 'cached' | 'remote';
  from?: { pull: PullRecord; layer: LayerRecord };
  /** Bytes over time. */
  curve: Curve;
  startedAt?: number;
  hereAt?: number;
  extractAt?: number;
  /** When unpacking is over, if the pull goes on. */
  extractUntil?: number;
  doneAt?: number;
}

export interface Waiter {
  pod: PodPlan;
  slot: SlotPlan;
  since: number;
}

export interface PullRecord {
  /** The first is 1, on each node. */
  ordinal: number;
  node: string;
  image: Image;
  twist: Twist;
  attempt: number;
  /** The try before. */
  before?: PullRecord;
  waiters: Waiter[];
  askedAt: number;
  startedAt?: number;
  manifestAt?: number;
  layers: LayerRecord[];
  stalledAt?: number;
  stalledUntil?: number;
  endedAt?: number;
  outcome?: 'completed' | 'failed' | 'cancelled' | 'unknown';
  failure?: Failure;
  retryAt?: number;
}

export interface NodeRecord {
  plan: NodePlan;
  pulls: PullRecord[];
  /** Since when an image is there, by its name. */
  present: Map<string, number>;
}

export const toDownload = (pull: PullRecord): number =>
  pull.layers.reduce(
    (sum, { origin, of }) => sum + (origin === 'own' || origin === 'shared' ? of.size : 0),
    0,
  );

export function playNode(plan: Plan, node: NodePlan): NodeRecord {
  return new Play(plan, node).run();
}

class Play {
  #plan: Plan;
  #node: NodePlan;
  #now: number;
  #coming: PodPlan[];
  #queue: PullRecord[] = [];
  #active: PullRecord[] = [];
  #backOff = new Map<string, PullRecord>();
  #layers = new Set<string>();
  #pulledBy = new Map<PodPlan, Set<SlotPlan>>();
  #record: NodeRecord;

  constructor(plan: Plan, node: NodePlan) {
    this.#plan = plan;
    this.#node = node;
    this.#now = plan.from;
    this.#coming = plan.pods.filter((pod) => pod.node === node.name).sort((a, b) => a.at - b.at);
    for (const ref of node.has) for (const layer of imageOf(ref).layers) this.#layers.add(layer.digest);
    this.#record = { plan: node, pulls: [], present: new Map(node.has.map((ref) => [ref, plan.from])) };
  }

  run(): NodeRecord {
    for (;;) {
      while (this.#settle());
      const next = this.#next();
      if (!(next < this.#plan.until)) break;
      this.#advance(next);
    }
    this.#advance(this.#plan.until);
    return this.#record;
  }

  // --- what happens at a moment ---

  /** Does what is due. Whether anything was. */
  #settle(): boolean {
    let any = false;
    while ((this.#coming[0]?.at ?? Number.POSITIVE_INFINITY) <= this.#now) {
      this.#ask(this.#coming.shift() as PodPlan);
      any = true;
    }
    for (const [ref, failed] of this.#backOff) {
      if ((failed.retryAt ?? 0) > this.#now) continue;
      this.#backOff.delete(ref);
      this.#enqueue(imageOf(ref), failed.twist, failed.waiters, failed);
      any = true;
    }
    while (this.#active.length < this.#node.parallel && this.#queue.length > 0) {
      const pull = this.#queue.shift() as PullRecord;
      pull.startedAt = this.#now;
      this.#active.push(pull);
      any = true;
    }
    for (const pull of [...this.#active]) any = this.#step(pull) || any;
    return any;
  }

  /** The pod's next image that is not there is asked for. */
  #ask(pod: PodPlan): void {
    const pulled = this.#pulledBy.get(pod) ?? new Set<SlotPlan>();
    this.#pulledBy.set(pod, pulled);
    const slot = pod.slots.find((each) =>
      each.twist?.always ? !pulled.has(each) : !this.#record.present.has(each.image),
    );
    if (!slot) return;
    const waiter = { pod, slot, since: this.#now };
    const going = [...this.#active, ...this.#queue].find((pull) => pull.image.ref === slot.image);
    const failed = this.#backOff.get(slot.image);
    if (going ?? failed) (going ?? failed)?.waiters.push(waiter);
    else this.#enqueue(imageOf(slot.image), slot.twist ?? {}, [waiter]);
  }

  #enqueue(image: Image, twist: Twist, waiters: Waiter[], before?: PullRecord): void {
    const pull: PullRecord = {
      ordinal: this.#record.pulls.length + 1,
      node: this.#node.name,
      image,
      twist,
      attempt: (before?.attempt ?? 0) + 1,
      ...(before ? { before } : {}),
      waiters: [...waiters],
      askedAt: this.#now,
      layers: [],
    };
    this.#record.pulls.push(pull);
    this.#queue.push(pull);
  }

  #resolvedAt(pull: PullRecord): number {
    const seconds =
      pull.twist.resolves ?? between(0.2, 0.9, this.#plan.seed, 'resolve', pull.node, pull.ordinal);
    return (pull.startedAt ?? 0) + seconds;
  }

  #step(pull: PullRecord): boolean {
    if (pull.manifestAt === undefined) {
      if (this.#resolvedAt(pull) > this.#now) return false;
      if (this.#endsNow(pull, 0)) return true;
      pull.manifestAt = this.#now;
      pull.layers = pull.image.layers.map((of) => this.#layer(pull, of));
      return true;
    }
    let any = false;
    const got = pull.layers.reduce((sum, layer) => sum + layer.curve.last, 0);
    const share = got / Math.max(1, toDownload(pull));
    const { stalls } = pull.twist;
    if (stalls && pull.stalledAt === undefined && share >= stalls.share - 1e-9) {
      pull.stalledAt = this.#now;
      if (stalls.seconds !== undefined) pull.stalledUntil = this.#now + stalls.seconds;
      any = true;
    }
    for (const layer of pull.layers) any = this.#stepLayer(pull, layer) || any;
    if (this.#endsNow(pull, share)) return true;
    const whole = pull.layers.reduce(
      (at, layer) => Math.max(at, layer.doneAt ?? Number.POSITIVE_INFINITY),
      pull.manifestAt + 0.15,
    );
    if (whole <= this.#now) {
      this.#end(pull, 'completed');
      return true;
    }
    return any;
  }

  #layer(pull: PullRecord, of: ImageLayer): LayerRecord {
    const at = pull.manifestAt ?? 0;
    if (this.#layers.has(of.digest)) return { of, origin: 'cached', curve: new Curve(), doneAt: at };
    if (pull.twist.remote && of.size > 2 ** 20)
      return { of, origin: 'remote', curve: new Curve(), doneAt: at };
    const other = this.#active
      .filter((each) => each !== pull && !each.twist.ends && !each.twist.stalls)
      .flatMap((each) => each.layers.map((layer) => ({ pull: each, layer })))
      .find(({ layer }) => layer.of.digest === of.digest && layer.origin === 'own');
    if (other) return { of, origin: 'shared', from: other, curve: other.layer.curve };
    return { of, origin: 'own', curve: new Curve() };
  }

  #stepLayer(pull: PullRecord, layer: LayerRecord): boolean {
    if (layer.doneAt !== undefined) return false;
    if (layer.from) {
      const { hereAt, doneAt } = layer.from.layer;
      const any = layer.hereAt !== hereAt || doneAt !== undefined;
      if (hereAt !== undefined) layer.hereAt = hereAt;
      if (doneAt !== undefined) layer.doneAt = doneAt;
      return any;
    }
    if (layer.startedAt === undefined) {
      const running = pull.layers.filter((each) => each.startedAt !== undefined && each.hereAt === undefined);
      if (running.filter((each) => each.origin === 'own').length >= SLOTS) return false;
      layer.startedAt = this.#now;
      layer.curve.push(this.#now, 0);
      return true;
    }
    if (layer.hereAt === undefined) {
      if (layer.curve.last < layer.of.size) return false;
      layer.hereAt = this.#now;
      return true;
    }
    if (layer.extractUntil === undefined) {
      const below = pull.layers.slice(0, pull.layers.indexOf(layer));
      if (below.some((each) => each.doneAt === undefined)) return false;
      layer.extractAt = this.#now;
      layer.extractUntil = this.#now + 0.03 + layer.of.size / this.#node.unpacks;
      return true;
    }
    if (layer.extractUntil > this.#now) return false;
    layer.doneAt = layer.extractUntil;
    this.#layers.add(layer.of.digest);
    return true;
  }

  #endsNow(pull: PullRecord, share: number): boolean {
    const { ends } = pull.twist;
    if (!ends || share < ends.share - 1e-9 || (ends.tries !== undefined && pull.attempt > ends.tries))
      return false;
    if (ends.outcome === 'failed') {
      const reason = ends.reason ?? 'unexplained';
      const message = ends.message ?? text(reason, pull.image.ref);
      const hint = HINTS[reason];
      pull.failure = { reason, ...(message ? { message } : {}), ...(hint ? { hint } : {}) };
      pull.retryAt = this.#now + Math.min(LONGEST_BACK_OFF, FIRST_BACK_OFF * 2 ** (pull.attempt - 1));
      this.#backOff.set(pull.image.ref, pull);
    }
    this.#end(pull, ends.outcome);
    return true;
  }

  #end(pull: PullRecord, outcome: NonNullable<PullRecord['outcome']>): void {
    pull.outcome = outcome;
    pull.endedAt = this.#now;
    this.#active = this.#active.filter((each) => each !== pull);
    if (outcome !== 'completed') return;
    if (!this.#record.present.has(pull.image.ref)) this.#record.present.set(pull.image.ref, this.#now);
    for (const { pod, slot } of pull.waiters) this.#pulledBy.get(pod)?.add(slot);
    for (const pod of new Set(pull.waiters.map((waiter) => waiter.pod))) this.#ask(pod);
  }

  // --- what happens between two moments ---

  /** Each layer that comes, with its speed. */
  #moving(): { pull: PullRecord; layer: LayerRecord; rate: number }[] {
    const window = Math.floor(this.#now / WINDOW);
    const { seed } = this.#plan;
    const running = this.#active.flatMap((pull) => {
      const stalled =
        pull.stalledAt !== undefined && this.#now < (pull.stalledUntil ?? Number.POSITIVE_INFINITY);
      if (stalled) return [];
      return pull.layers
        .filter(
          (layer) => layer.origin === 'own' && layer.startedAt !== undefined && layer.hereAt === undefined,
        )
        .map((layer) => ({
          pull,
          layer,
          weight: between(0.7, 1.3, seed, layer.of.digest, pull.node, window),
        }));
    });
    const weights = running.reduce((sum, { weight }) => sum + weight, 0);
    const line = this.#node.bandwidth * between(0.86, 1.1, seed, 'line', this.#node.name, window);
    const moving = running.map(({ pull, layer, weight }) => ({
      pull,
      layer,
      rate: (line * weight) / weights,
    }));
    for (const pull of this.#active) {
      const { cap } = pull.twist;
      const all = moving.filter((each) => each.pull === pull);
      const sum = all.reduce((total, { rate }) => total + rate, 0);
      if (cap !== undefined && sum > cap) for (const each of all) each.rate *= cap / sum;
    }
    return moving;
  }

  /** When something happens next. */
  #next(): number {
    const times: number[] = [this.#coming[0]?.at ?? Number.POSITIVE_INFINITY];
    for (const failed of this.#backOff.values()) times.push(failed.retryAt ?? Number.POSITIVE_INFINITY);
    const moving = this.#moving();
    if (moving.length > 0) times.push((Math.floor(this.#now / WINDOW) + 1) * WINDOW);
    for (const { layer, rate } of moving) times.push(this.#now + (layer.of.size - layer.curve.last) / rate);
    for (const pull of this.#active) {
      if (pull.manifestAt === undefined) times.push(this.#resolvedAt(pull));
      else times.push(pull.manifestAt + 0.15, ...this.#shares(pull, moving));
      times.push(pull.stalledUntil ?? Number.POSITIVE_INFINITY);
      for (const layer of pull.layers) {
        if (layer.doneAt === undefined) times.push(layer.extractUntil ?? Number.POSITIVE_INFINITY);
      }
    }
    return Math.min(...times.filter((time) => time > this.#now));
  }

  /** When the shares of a pull are reached at which something befalls it. */
  #shares(pull: PullRecord, moving: readonly { pull: PullRecord; rate: number }[]): number[] {
    const rate = moving.reduce((sum, each) => sum + (each.pull === pull ? each.rate : 0), 0);
    const got = pull.layers.reduce((sum, layer) => sum + layer.curve.last, 0);
    const { stalls, ends } = pull.twist;
    return [pull.stalledAt === undefined ? stalls?.share : undefined, ends?.share]
      .filter((share) => share !== undefined)
      .map((share) => this.#now + Math.max(1e-6, (share * toDownload(pull) - got) / rate));
  }

  #advance(to: number): void {
    for (const { layer, rate } of this.#moving()) {
      const bytes = layer.curve.last + rate * (to - this.#now);
      // A last byte must not be missed by rounding.
      layer.curve.to(this.#now, to, bytes > layer.of.size - 1 ? layer.of.size : bytes);
    }
    this.#now = to;
  }
}
