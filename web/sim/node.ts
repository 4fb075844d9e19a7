// Simulates one node: running pulls, shared bandwidth and waits. Discrete events; between two
// events all speeds are constant, so the recorded curves can be evaluated at any time.

import { FAILURE_HINTS } from '../src/api/gen/failures';
import type { Failure } from '../src/api/gen/wire';
import { type Image, type ImageLayer, imageByRef } from './catalogue';
import { Curve } from './curve';
import { failureMessage } from './failures';
import type { ConsumerPlan, NodePlan, Plan, PodPlan, PullBehaviour } from './plan';
import { randomBetween } from './random';

/** containerd's `max_concurrent_downloads`. */
const DOWNLOAD_SLOTS = 3;
/** The bandwidth changes every so many seconds. */
const SPEED_WINDOW = 2;
/** The kubelet's back-off in seconds. */
const MIN_BACK_OFF = 10;
const MAX_BACK_OFF = 300;

export interface LayerRecord {
  spec: ImageLayer;
  /** `own` is downloaded by this pull, `shared` by another one. */
  origin: 'own' | 'shared' | 'cached' | 'remote';
  from?: { pull: PullRecord; layer: LayerRecord };
  /** Downloaded bytes over time. */
  curve: Curve;
  startedAt?: number;
  downloadedAt?: number;
  extractingAt?: number;
  /** End of extraction, unless the pull ends earlier. */
  extractedAt?: number;
  doneAt?: number;
}

export interface Waiter {
  pod: PodPlan;
  consumer: ConsumerPlan;
  since: number;
}

export interface PullRecord {
  /** Starts at 1 on each node. */
  ordinal: number;
  node: string;
  image: Image;
  behaviour: PullBehaviour;
  attempt: number;
  /** The previous attempt. */
  previous?: PullRecord;
  waiters: Waiter[];
  requestedAt: number;
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
  /** Time since which an image is present, by name. */
  present: Map<string, number>;
}

export const toDownload = (pull: PullRecord): number =>
  pull.layers.reduce(
    (sum, { origin, spec }) => sum + (origin === 'own' || origin === 'shared' ? spec.size : 0),
    0,
  );

export function simulateNode(plan: Plan, node: NodePlan): NodeRecord {
  return new NodeSimulation(plan, node).run();
}

class NodeSimulation {
  #plan: Plan;
  #node: NodePlan;
  #now: number;
  #upcomingPods: PodPlan[];
  #queue: PullRecord[] = [];
  #active: PullRecord[] = [];
  #backOff = new Map<string, PullRecord>();
  #presentLayers = new Set<string>();
  #pulledConsumers = new Map<PodPlan, Set<ConsumerPlan>>();
  #record: NodeRecord;

  constructor(plan: Plan, node: NodePlan) {
    this.#plan = plan;
    this.#node = node;
    this.#now = plan.from;
    this.#upcomingPods = plan.pods
      .filter((pod) => pod.node === node.name)
      .sort((a, b) => a.scheduledAt - b.scheduledAt);
    for (const ref of node.cachedImages)
      for (const layer of imageByRef(ref).layers) this.#presentLayers.add(layer.digest);
    this.#record = {
      plan: node,
      pulls: [],
      present: new Map(node.cachedImages.map((ref) => [ref, plan.from])),
    };
  }

  run(): NodeRecord {
    for (;;) {
      while (this.#processDue());
      const next = this.#nextEventTime();
      if (!(next < this.#plan.until)) break;
      this.#advance(next);
    }
    this.#advance(this.#plan.until);
    return this.#record;
  }

  // --- events ---

  /** Processes everything that is due. Returns whether anything was. */
  #processDue(): boolean {
    let changed = false;
    while ((this.#upcomingPods[0]?.scheduledAt ?? Number.POSITIVE_INFINITY) <= this.#now) {
      this.#requestNextImage(this.#upcomingPods.shift() as PodPlan);
      changed = true;
    }
    for (const [ref, failed] of this.#backOff) {
      if ((failed.retryAt ?? 0) > this.#now) continue;
      this.#backOff.delete(ref);
      this.#enqueue(imageByRef(ref), failed.behaviour, failed.waiters, failed);
      changed = true;
    }
    while (this.#active.length < this.#node.maxParallelPulls && this.#queue.length > 0) {
      const pull = this.#queue.shift() as PullRecord;
      pull.startedAt = this.#now;
      this.#active.push(pull);
      changed = true;
    }
    for (const pull of [...this.#active]) changed = this.#stepPull(pull) || changed;
    return changed;
  }

  /** Requests the pod's next missing image. */
  #requestNextImage(pod: PodPlan): void {
    const pulled = this.#pulledConsumers.get(pod) ?? new Set<ConsumerPlan>();
    this.#pulledConsumers.set(pod, pulled);
    const consumer = pod.consumers.find((each) =>
      each.behaviour?.alwaysPull ? !pulled.has(each) : !this.#record.present.has(each.image),
    );
    if (!consumer) return;
    const waiter = { pod, consumer, since: this.#now };
    const active = [...this.#active, ...this.#queue].find((pull) => pull.image.ref === consumer.image);
    const failed = this.#backOff.get(consumer.image);
    if (active ?? failed) (active ?? failed)?.waiters.push(waiter);
    else this.#enqueue(imageByRef(consumer.image), consumer.behaviour ?? {}, [waiter]);
  }

  #enqueue(image: Image, behaviour: PullBehaviour, waiters: Waiter[], previous?: PullRecord): void {
    const pull: PullRecord = {
      ordinal: this.#record.pulls.length + 1,
      node: this.#node.name,
      image,
      behaviour,
      attempt: (previous?.attempt ?? 0) + 1,
      ...(previous ? { previous } : {}),
      waiters: [...waiters],
      requestedAt: this.#now,
      layers: [],
    };
    this.#record.pulls.push(pull);
    this.#queue.push(pull);
  }

  #resolvedAt(pull: PullRecord): number {
    const seconds =
      pull.behaviour.resolveSeconds ??
      randomBetween(0.2, 0.9, this.#plan.seed, 'resolve', pull.node, pull.ordinal);
    return (pull.startedAt ?? 0) + seconds;
  }

  #stepPull(pull: PullRecord): boolean {
    if (pull.manifestAt === undefined) {
      if (this.#resolvedAt(pull) > this.#now) return false;
      if (this.#endIfDue(pull, 0)) return true;
      pull.manifestAt = this.#now;
      pull.layers = pull.image.layers.map((spec) => this.#startLayer(pull, spec));
      return true;
    }
    let changed = false;
    const downloaded = pull.layers.reduce((sum, layer) => sum + layer.curve.lastValue, 0);
    const share = downloaded / Math.max(1, toDownload(pull));
    const { stall } = pull.behaviour;
    if (stall && pull.stalledAt === undefined && share >= stall.share - 1e-9) {
      pull.stalledAt = this.#now;
      if (stall.seconds !== undefined) pull.stalledUntil = this.#now + stall.seconds;
      changed = true;
    }
    for (const layer of pull.layers) changed = this.#stepLayer(pull, layer) || changed;
    if (this.#endIfDue(pull, share)) return true;
    const completedAt = pull.layers.reduce(
      (at, layer) => Math.max(at, layer.doneAt ?? Number.POSITIVE_INFINITY),
      pull.manifestAt + 0.15,
    );
    if (completedAt <= this.#now) {
      this.#end(pull, 'completed');
      return true;
    }
    return changed;
  }

  #startLayer(pull: PullRecord, spec: ImageLayer): LayerRecord {
    const at = pull.manifestAt ?? 0;
    if (this.#presentLayers.has(spec.digest))
      return { spec, origin: 'cached', curve: new Curve(), doneAt: at };
    if (pull.behaviour.mountsRemotely && spec.size > 2 ** 20)
      return { spec, origin: 'remote', curve: new Curve(), doneAt: at };
    const other = this.#active
      .filter((each) => each !== pull && !each.behaviour.ending && !each.behaviour.stall)
      .flatMap((each) => each.layers.map((layer) => ({ pull: each, layer })))
      .find(({ layer }) => layer.spec.digest === spec.digest && layer.origin === 'own');
    if (other) return { spec, origin: 'shared', from: other, curve: other.layer.curve };
    return { spec, origin: 'own', curve: new Curve() };
  }

  #stepLayer(pull: PullRecord, layer: LayerRecord): boolean {
    if (layer.doneAt !== undefined) return false;
    if (layer.from) {
      const { downloadedAt, doneAt } = layer.from.layer;
      const changed = layer.downloadedAt !== downloadedAt || doneAt !== undefined;
      if (downloadedAt !== undefined) layer.downloadedAt = downloadedAt;
      if (doneAt !== undefined) layer.doneAt = doneAt;
      return changed;
    }
    if (layer.startedAt === undefined) {
      const running = pull.layers.filter(
        (each) => each.startedAt !== undefined && each.downloadedAt === undefined,
      );
      if (running.filter((each) => each.origin === 'own').length >= DOWNLOAD_SLOTS) return false;
      layer.startedAt = this.#now;
      layer.curve.addPoint(this.#now, 0);
      return true;
    }
    if (layer.downloadedAt === undefined) {
      if (layer.curve.lastValue < layer.spec.size) return false;
      layer.downloadedAt = this.#now;
      return true;
    }
    if (layer.extractedAt === undefined) {
      const parents = pull.layers.slice(0, pull.layers.indexOf(layer));
      if (parents.some((each) => each.doneAt === undefined)) return false;
      layer.extractingAt = this.#now;
      layer.extractedAt = this.#now + 0.03 + layer.spec.size / this.#node.unpackSpeed;
      return true;
    }
    if (layer.extractedAt > this.#now) return false;
    layer.doneAt = layer.extractedAt;
    this.#presentLayers.add(layer.spec.digest);
    return true;
  }

  #endIfDue(pull: PullRecord, share: number): boolean {
    const { ending } = pull.behaviour;
    if (
      !ending ||
      share < ending.share - 1e-9 ||
      (ending.attempts !== undefined && pull.attempt > ending.attempts)
    )
      return false;
    if (ending.outcome === 'failed') {
      const reason = ending.reason ?? 'unexplained';
      const message = ending.message ?? failureMessage(reason, pull.image.ref);
      const hint = FAILURE_HINTS[reason];
      pull.failure = { reason, ...(message ? { message } : {}), ...(hint ? { hint } : {}) };
      pull.retryAt = this.#now + Math.min(MAX_BACK_OFF, MIN_BACK_OFF * 2 ** (pull.attempt - 1));
      this.#backOff.set(pull.image.ref, pull);
    }
    this.#end(pull, ending.outcome);
    return true;
  }

  #end(pull: PullRecord, outcome: NonNullable<PullRecord['outcome']>): void {
    pull.outcome = outcome;
    pull.endedAt = this.#now;
    this.#active = this.#active.filter((each) => each !== pull);
    if (outcome !== 'completed') return;
    if (!this.#record.present.has(pull.image.ref)) this.#record.present.set(pull.image.ref, this.#now);
    for (const { pod, consumer } of pull.waiters) this.#pulledConsumers.get(pod)?.add(consumer);
    for (const pod of new Set(pull.waiters.map((waiter) => waiter.pod))) this.#requestNextImage(pod);
  }

  // --- between events ---

  /** Active downloads with their speeds. */
  #activeDownloads(): { pull: PullRecord; layer: LayerRecord; rate: number }[] {
    const window = Math.floor(this.#now / SPEED_WINDOW);
    const { seed } = this.#plan;
    const running = this.#active.flatMap((pull) => {
      const stalled =
        pull.stalledAt !== undefined && this.#now < (pull.stalledUntil ?? Number.POSITIVE_INFINITY);
      if (stalled) return [];
      return pull.layers
        .filter(
          (layer) =>
            layer.origin === 'own' && layer.startedAt !== undefined && layer.downloadedAt === undefined,
        )
        .map((layer) => ({
          pull,
          layer,
          weight: randomBetween(0.7, 1.3, seed, layer.spec.digest, pull.node, window),
        }));
    });
    const weights = running.reduce((sum, { weight }) => sum + weight, 0);
    const bandwidth = this.#node.bandwidth * randomBetween(0.86, 1.1, seed, 'line', this.#node.name, window);
    const moving = running.map(({ pull, layer, weight }) => ({
      pull,
      layer,
      rate: (bandwidth * weight) / weights,
    }));
    for (const pull of this.#active) {
      const { maxSpeed } = pull.behaviour;
      const all = moving.filter((each) => each.pull === pull);
      const sum = all.reduce((total, { rate }) => total + rate, 0);
      if (maxSpeed !== undefined && sum > maxSpeed) for (const each of all) each.rate *= maxSpeed / sum;
    }
    return moving;
  }

  /** Time of the next event. */
  #nextEventTime(): number {
    const times: number[] = [this.#upcomingPods[0]?.scheduledAt ?? Number.POSITIVE_INFINITY];
    for (const failed of this.#backOff.values()) times.push(failed.retryAt ?? Number.POSITIVE_INFINITY);
    const moving = this.#activeDownloads();
    if (moving.length > 0) times.push((Math.floor(this.#now / SPEED_WINDOW) + 1) * SPEED_WINDOW);
    for (const { layer, rate } of moving)
      times.push(this.#now + (layer.spec.size - layer.curve.lastValue) / rate);
    for (const pull of this.#active) {
      if (pull.manifestAt === undefined) times.push(this.#resolvedAt(pull));
      else times.push(pull.manifestAt + 0.15, ...this.#triggerTimes(pull, moving));
      times.push(pull.stalledUntil ?? Number.POSITIVE_INFINITY);
      for (const layer of pull.layers) {
        if (layer.doneAt === undefined) times.push(layer.extractedAt ?? Number.POSITIVE_INFINITY);
      }
    }
    return Math.min(...times.filter((time) => time > this.#now));
  }

  /** Times at which a pull reaches the share that triggers its stall or end. */
  #triggerTimes(pull: PullRecord, moving: readonly { pull: PullRecord; rate: number }[]): number[] {
    const rate = moving.reduce((sum, each) => sum + (each.pull === pull ? each.rate : 0), 0);
    const downloaded = pull.layers.reduce((sum, layer) => sum + layer.curve.lastValue, 0);
    const { stall, ending } = pull.behaviour;
    return [pull.stalledAt === undefined ? stall?.share : undefined, ending?.share]
      .filter((share) => share !== undefined)
      .map((share) => this.#now + Math.max(1e-6, (share * toDownload(pull) - downloaded) / rate));
  }

  #advance(to: number): void {
    for (const { layer, rate } of this.#activeDownloads()) {
      const bytes = layer.curve.lastValue + rate * (to - this.#now);
      // Rounding must not leave the last byte missing.
      layer.curve.moveTo(this.#now, to, bytes > layer.spec.size - 1 ? layer.spec.size : bytes);
    }
    this.#now = to;
  }
}
