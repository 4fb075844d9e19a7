// State of a simulated cluster at a given time, as its server reports it. A pure function of plan
// and time.

import type { NodeStatus, PodStatus, PullStatus, ServerStatus } from '../src/api/gen/wire';
import { type NodeRecord, type PullRecord, simulateNode } from './node';
import type { Plan } from './plan';
import { podAt } from './pods';
import { type Clock, type RowContext, rowAt } from './row';

export interface World {
  rows: readonly PullStatus[];
  nodes: readonly NodeStatus[];
  pods: readonly PodStatus[];
  /** Its `seq` is set by the feed. */
  server: ServerStatus;
}

/** Default instant of second 0. */
export const ORIGIN = Date.parse('2026-11-24T03:56:00Z');

export const clockFrom =
  (origin: number): Clock =>
  (seconds) =>
    new Date(Math.round(origin + seconds * 1000)).toISOString();

const THROUGHPUT_STEP = 2;
const THROUGHPUT_WINDOW = 15 * 60;
/** A silent agent is lost after this many seconds. */
const LOST_AFTER = 10;
/** Range of row numbers per node. */
const ROWS_PER_NODE = 10_000;

/** Simulates a plan, once. */
export class Cluster {
  readonly plan: Plan;
  #nodes: readonly NodeRecord[];
  #speeds: Float64Array;
  #origin = Number.NaN;
  /** Rows of ended pulls, which no longer change. */
  #endedRows = new Map<PullRecord, PullStatus>();

  constructor(plan: Plan) {
    this.plan = plan;
    this.#nodes = plan.nodes.map((node) => simulateNode(plan, node));
    this.#speeds = clusterSpeeds(plan, this.#nodes);
  }

  /** The world at `t`. `origin` is the instant of second 0. */
  at(t: number, origin = ORIGIN): World {
    if (origin !== this.#origin) this.#endedRows.clear();
    this.#origin = origin;
    const clock = clockFrom(origin);
    const pods = this.plan.cluster.pods === 'live';
    const rows: PullStatus[] = [];
    const nodes: NodeStatus[] = [];
    for (const [index, record] of this.#nodes.entries()) {
      const context = { record, clock, firstNumber: index * ROWS_PER_NODE, podsKnown: pods };
      const nodeRows = this.#rows(record, t, context);
      rows.push(...nodeRows);
      nodes.push(nodeAt(record, t, clock, nodeRows));
    }
    return {
      rows,
      nodes,
      pods: pods ? this.#pods(t, clock, rows) : [],
      server: this.#server(t, clock),
    };
  }

  #rows(record: NodeRecord, t: number, context: RowContext): PullStatus[] {
    const rows: PullStatus[] = [];
    const superseded = new Set<string>();
    for (const pull of record.pulls) {
      const ended = pull.endedAt !== undefined && pull.endedAt <= t;
      if (ended && t - (pull.endedAt ?? t) > this.plan.keepsEndedSeconds) continue;
      const silentBefore = (record.plan.silentAt ?? t) < (pull.endedAt ?? t);
      const row = (ended && this.#endedRows.get(pull)) || rowAt(pull, t, context);
      if (!row) continue;
      if (ended && !silentBefore) this.#endedRows.set(pull, row);
      if (row.supersedes) superseded.add(row.supersedes);
      rows.push(row);
    }
    return superseded.size === 0 ? rows : rows.filter((row) => !superseded.has(row.id));
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
    const last = Math.floor(t / THROUGHPUT_STEP) * THROUGHPUT_STEP;
    const first = Math.max(
      last - THROUGHPUT_WINDOW,
      Math.ceil(plan.startedAt / THROUGHPUT_STEP) * THROUGHPUT_STEP,
    );
    const bytesPerSec: (number | null)[] = [];
    for (let at = first + THROUGHPUT_STEP; at <= last; at += THROUGHPUT_STEP) {
      bytesPerSec.push(Math.round(this.#speeds[(at - plan.from) / THROUGHPUT_STEP] ?? 0));
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
        stepSeconds: THROUGHPUT_STEP,
        ...(bytesPerSec.length > 0 ? { endsAt: clock(last) } : {}),
        bytesPerSec,
      },
    };
  }
}

/** Download speed of the cluster in each step of the plan. */
function clusterSpeeds(plan: Plan, nodes: readonly NodeRecord[]): Float64Array {
  const found = new Float64Array(Math.ceil((plan.until - plan.from) / THROUGHPUT_STEP) + 1);
  for (const { plan: node, pulls } of nodes) {
    for (const layer of pulls.flatMap((pull) => pull.layers)) {
      if (layer.origin !== 'own' || layer.startedAt === undefined) continue;
      const end = Math.min(layer.downloadedAt ?? plan.until, node.silentAt ?? plan.until);
      for (
        let step = Math.ceil((layer.startedAt - plan.from) / THROUGHPUT_STEP);
        step < found.length;
        step++
      ) {
        const at = plan.from + step * THROUGHPUT_STEP;
        if (at - THROUGHPUT_STEP > end) break;
        found[step] =
          (found[step] ?? 0) +
          (layer.curve.at(Math.min(at, end)) - layer.curve.at(at - THROUGHPUT_STEP)) / THROUGHPUT_STEP;
      }
    }
  }
  return found;
}

function nodeAt(record: NodeRecord, t: number, clock: Clock, rows: readonly PullStatus[]): NodeStatus {
  const { name, silentAt, runtimeVersion, clockOffsetMs = 4 } = record.plan;
  const reportedAt = Math.min(Math.floor(t), silentAt ?? t);
  const lost = t - reportedAt > LOST_AFTER;
  const live = rows.filter((row) => !row.outcome && row.phase !== 'queued');
  const sum = (value: (row: PullStatus) => number | undefined): number =>
    live.reduce((total, row) => total + (value(row) ?? 0), 0);
  return {
    name,
    state: lost ? 'lost' : 'live',
    lastReportAt: clock(reportedAt),
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
