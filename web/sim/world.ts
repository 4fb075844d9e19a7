// What a cluster is at a moment, as its server would tell it. A function of the plan and the time, and of nothing else.

import type { NodeStatus, PodStatus, PullStatus, ServerStatus } from '../src/api/gen/wire';
import { type NodeRecord, type PullRecord, playNode } from './node';
import type { Plan } from './plan';
import { podAt } from './pods';
import { type Clock, type Context, rowAt } from './row';

export interface World {
  rows: readonly PullStatus[];
  nodes: readonly NodeStatus[];
  pods: readonly PodStatus[];
  /** Its `seq` is of whoever serves it. */
  server: ServerStatus;
}

/** Second 0 of each story, where nobody says another one. */
export const ORIGIN = Date.parse('2026-11-24T03:56:00Z');

export const clockFrom =
  (origin: number): Clock =>
  (seconds) =>
    new Date(Math.round(origin + seconds * 1000)).toISOString();

const STEP = 2;
const REMEMBERED = 15 * 60;
/** An agent that is silent for so long is lost. */
const LOST_AFTER = 10;
/** Numbers of rows that one node may have. */
const ROWS_OF_NODE = 10_000;

/** Plays the plan, once. */
export class Cluster {
  readonly plan: Plan;
  #nodes: readonly NodeRecord[];
  #speeds: Float64Array;
  #origin = Number.NaN;
  /** Rows of pulls that are over, which do not change any more. */
  #over = new Map<PullRecord, PullStatus>();

  constructor(plan: Plan) {
    this.plan = plan;
    this.#nodes = plan.nodes.map((node) => playNode(plan, node));
    this.#speeds = speeds(plan, this.#nodes);
  }

  /** Everything at `t`. `origin` is the instant of second 0. */
  at(t: number, origin = ORIGIN): World {
    if (origin !== this.#origin) this.#over.clear();
    this.#origin = origin;
    const clock = clockFrom(origin);
    const pods = this.plan.cluster.pods === 'live';
    const rows: PullStatus[] = [];
    const nodes: NodeStatus[] = [];
    for (const [index, record] of this.#nodes.entries()) {
      const context = { record, clock, firstNumber: index * ROWS_OF_NODE, pods };
      const own = this.#rows(record, t, context);
      rows.push(...own);
      nodes.push(nodeAt(record, t, clock, own));
    }
    return {
      rows,
      nodes,
      pods: pods ? this.#pods(t, clock, rows) : [],
      server: this.#server(t, clock),
    };
  }

  #rows(record: NodeRecord, t: number, context: Context): PullStatus[] {
    const rows: PullStatus[] = [];
    const gone = new Set<string>();
    for (const pull of record.pulls) {
      const over = pull.endedAt !== undefined && pull.endedAt <= t;
      if (over && t - (pull.endedAt ?? t) > this.plan.keepsEndedSeconds) continue;
      const silentBefore = (record.plan.silentAt ?? t) < (pull.endedAt ?? t);
      const row = (over && this.#over.get(pull)) || rowAt(pull, t, context);
      if (!row) continue;
      if (over && !silentBefore) this.#over.set(pull, row);
      if (row.supersedes) gone.add(row.supersedes);
      rows.push(row);
    }
    return gone.size === 0 ? rows : rows.filter((row) => !gone.has(row.id));
  }

  #pods(t: number, clock: Clock, rows: readonly PullStatus[]): PodStatus[] {
    const byId = new Map(rows.map((row) => [row.id, row]));
    const records = new Map(this.#nodes.map((record) => [record.plan.name, record]));
    const found: PodStatus[] = [];
    for (const pod of this.plan.pods) {
      const record = records.get(pod.node);
      const status = record && podAt(pod, record, t, clock, byId);
      if (status) found.push(status);
    }
    const key = (pod: PodStatus): string => `${pod.namespace}/${pod.podName}`;
    return found.sort((a, b) => (key(a) < key(b) ? -1 : 1));
  }

  #server(t: number, clock: Clock): ServerStatus {
    const { plan } = this;
    const last = Math.floor(t / STEP) * STEP;
    const first = Math.max(last - REMEMBERED, Math.ceil(plan.startedAt / STEP) * STEP);
    const bytesPerSec: (number | null)[] = [];
    for (let at = first + STEP; at <= last; at += STEP) {
      bytesPerSec.push(Math.round(this.#speeds[(at - plan.from) / STEP] ?? 0));
    }
    return {
      epoch: 'e1',
      seq: 0,
      now: clock(t),
      version: `${plan.version} (0123456789ab)`,
      page: '0123456789ab',
      clusterName: plan.clusterName,
      startedAt: clock(plan.startedAt),
      keepsEndedSeconds: plan.keepsEndedSeconds,
      cluster: plan.cluster,
      throughput: {
        stepSeconds: STEP,
        ...(bytesPerSec.length > 0 ? { endsAt: clock(last) } : {}),
        bytesPerSec,
      },
    };
  }
}

/** How fast bytes came in each step of the plan. */
function speeds(plan: Plan, nodes: readonly NodeRecord[]): Float64Array {
  const found = new Float64Array(Math.ceil((plan.until - plan.from) / STEP) + 1);
  for (const { plan: node, pulls } of nodes) {
    for (const layer of pulls.flatMap((pull) => pull.layers)) {
      if (layer.origin !== 'own' || layer.startedAt === undefined) continue;
      const end = Math.min(layer.hereAt ?? plan.until, node.silentAt ?? plan.until);
      for (let step = Math.ceil((layer.startedAt - plan.from) / STEP); step < found.length; step++) {
        const at = plan.from + step * STEP;
        if (at - STEP > end) break;
        found[step] =
          (found[step] ?? 0) + (layer.curve.at(Math.min(at, end)) - layer.curve.at(at - STEP)) / STEP;
      }
    }
  }
  return found;
}

function nodeAt(record: NodeRecord, t: number, clock: Clock, rows: readonly PullStatus[]): NodeStatus {
  const { name, silentAt, runtimeVersion, clockOffsetMs = 4 } = record.plan;
  const heardAt = Math.min(Math.floor(t), silentAt ?? t);
  const lost = t - heardAt > LOST_AFTER;
  const live = rows.filter((row) => !row.outcome && row.phase !== 'queued');
  const sum = (of: (row: PullStatus) => number | undefined): number =>
    live.reduce((total, row) => total + (of(row) ?? 0), 0);
  return {
    name,
    state: lost ? 'lost' : 'live',
    lastReportAt: clock(heardAt),
    agentVersion: '0.2.0',
    runtimeVersion,
    clockOffsetMs,
    live: rows.filter((row) => !row.outcome).length,
    ended: rows.filter((row) => row.outcome).length,
    toDownloadBytes: sum((row) => row.toDownloadBytes),
    downloadedBytes: sum((row) => (row.totalKnown ? row.downloadedBytes : 0)),
    ...(lost || live.length === 0 ? {} : { bytesPerSec: sum((row) => row.bytesPerSec) }),
  };
}
