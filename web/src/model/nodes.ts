// Nodes: state of their agents, running and queued pulls, and a timeline of the pulls.

import type { NodeState, NodeStatus, PullStatus } from '../api/gen/wire';
import { endedAt } from './ended';
import { duration, parseInstant } from './format';
import { isFresh, isLive } from './pull';

/** One table row. Flat, so that unchanged rows are not rerendered. */
export interface NodeEntry {
  name: string;
  /** Undefined for a node known only from its pulls. */
  state: NodeState | undefined;
  /**
   * Time of the last report, if the node is not reporting. Undefined otherwise, as it would change
   * every second.
   */
  silentSince: string | undefined;
  /** Undefined if unknown or outdated. */
  speed: number | undefined;
  running: number;
  queued: number;
  stalled: number;
  ended: number;
  failed: number;
  agent: string | undefined;
  runtime: string | undefined;
  /** Server clock minus node clock. */
  offsetMs: number | undefined;
}

export function nodeEntries(statuses: Iterable<NodeStatus>, rows: Iterable<PullStatus>): NodeEntry[] {
  const found = new Map<string, NodeEntry>();
  const entry = (name: string, node?: NodeStatus): NodeEntry => ({
    name,
    state: node?.state,
    silentSince: node && node.state !== 'live' ? node.lastReportAt : undefined,
    speed: node?.state === 'lost' ? undefined : node?.bytesPerSec,
    running: 0,
    queued: 0,
    stalled: 0,
    ended: 0,
    failed: 0,
    agent: node?.agentVersion,
    runtime: node?.runtimeVersion,
    offsetMs: node?.clockOffsetMs,
  });
  for (const node of statuses) found.set(node.name, entry(node.name, node));
  for (const pull of rows) {
    let node = found.get(pull.nodeName);
    if (node === undefined) {
      node = entry(pull.nodeName);
      found.set(pull.nodeName, node);
    }
    if (!isLive(pull)) {
      node.ended += 1;
      if (pull.outcome === 'failed') node.failed += 1;
    } else if (pull.phase === 'queued') node.queued += 1;
    else {
      node.running += 1;
      if (pull.stalledSince !== undefined && isFresh(pull)) node.stalled += 1;
    }
  }
  return [...found.values()];
}

/** A larger offset makes times of the node and the cluster inconsistent. */
const MAX_OFFSET_MS = 2_000;

export const isClockOff = (offsetMs: number | undefined): boolean => Math.abs(offsetMs ?? 0) >= MAX_OFFSET_MS;

/** `3.2 s behind`; undefined if unknown. */
export function formatClockOffset(offsetMs: number | undefined): string | undefined {
  if (offsetMs === undefined) return undefined;
  if (Math.abs(offsetMs) < 100) return 'in sync';
  return `${duration(Math.abs(offsetMs) / 1000)} ${offsetMs > 0 ? 'behind' : 'ahead'}`;
}

export const NODE_FILTERS = ['all', 'pulling', 'trouble'] as const;
export type NodeFilter = (typeof NODE_FILTERS)[number];

export const needsAttention = (node: NodeEntry): boolean =>
  (node.state !== undefined && node.state !== 'live') ||
  node.stalled > 0 ||
  node.failed > 0 ||
  isClockOff(node.offsetMs);

export function matchesFilter(node: NodeEntry, filter: NodeFilter): boolean {
  if (filter === 'pulling') return node.running + node.queued > 0;
  return filter === 'all' || needsAttention(node);
}

export function nodeMatches({ name, state, agent, runtime }: NodeEntry, words: readonly string[]): boolean {
  const text = `${name} ${state ?? ''} ${agent ?? ''} ${runtime ?? ''}`.toLowerCase();
  return words.every((word) => text.includes(word));
}

/** Pulls of a node: running, queued, then ended ones, latest first. */
export function pullsOfNode(rows: Iterable<PullStatus>, name: string): PullStatus[] {
  const rank = (pull: PullStatus): number => (!isLive(pull) ? 2 : pull.phase === 'queued' ? 1 : 0);
  const start = (pull: PullStatus): number => parseInstant(pull.startedAt) ?? 0;
  const pulls: PullStatus[] = [];
  for (const pull of rows) if (pull.nodeName === name) pulls.push(pull);
  return pulls.sort(
    (a, b) =>
      rank(a) - rank(b) ||
      (rank(a) === 2 ? endedAt(b) - endedAt(a) : start(a) - start(b)) ||
      (a.id < b.id ? -1 : 1),
  );
}

export type TimelineSpanKind = 'queued' | 'resolving' | 'downloading' | 'extracting' | 'projected';

/** Position on the axis, 0 to 1. */
export interface TimelineSpan {
  kind: TimelineSpanKind;
  from: number;
  to: number;
}

/** Milliseconds since the epoch. */
export interface TimelineAxis {
  start: number;
  end: number;
  now: number;
  ticks: readonly number[];
}

/** Candidate distances between ticks, in seconds; round on a clock. */
const TICK_STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 14_400, 21_600, 43_200];
const DAY = 86_400;
const MAX_TICKS = 7;
const MIN_RANGE_MS = 10_000;
/** Maximum ratio of future to past on the axis. */
const MAX_FUTURE = 1;

const firstInstant = (pull: PullStatus): number | undefined =>
  parseInstant(pull.queuedAt) ?? parseInstant(pull.startedAt);

/** An axis that covers all pulls up to now, and the estimated end of the last one. */
export function timelineAxis(pulls: Iterable<PullStatus>, now: number): TimelineAxis {
  let start = now - MIN_RANGE_MS;
  let ready = now;
  for (const pull of pulls) {
    start = Math.min(start, firstInstant(pull) ?? now);
    if (isLive(pull) && isFresh(pull)) ready = Math.max(ready, now + (pull.etaSeconds ?? 0) * 1000);
  }
  const latest = now + (now - start) * MAX_FUTURE;
  const until = Math.min(ready, latest);
  const span = (until - start) / 1000;
  const step = TICK_STEPS.find((each) => span / each <= MAX_TICKS) ?? Math.ceil(span / MAX_TICKS / DAY) * DAY;
  // The ends move in steps so that bars stay still.
  const roundToHalfStep = (at: number, round: (x: number) => number): number =>
    round(at / (step * 500)) * step * 500;
  const from = roundToHalfStep(start, Math.floor);
  const to = roundToHalfStep(until, Math.ceil);
  const ticks: number[] = [];
  for (let at = Math.ceil(from / (step * 1000)) * step * 1000; at <= to; at += step * 1000) ticks.push(at);
  return { start: from, end: to, now, ticks };
}

export const axisShare = ({ start, end }: TimelineAxis, at: number): number =>
  Math.min(1, Math.max(0, (at - start) / (end - start)));

const PHASES = new Set<string>(['queued', 'resolving', 'downloading', 'extracting']);

/** Observed phases of a pull, without overlaps. */
export function timelineSpans(pull: PullStatus, axis: TimelineAxis): TimelineSpan[] {
  const live = isLive(pull);
  const end = parseInstant(pull.completedAt) ?? parseInstant(pull.staleSince) ?? axis.now;
  const started = parseInstant(pull.startedAt);
  const phaseStarts: [TimelineSpanKind, number | undefined][] =
    pull.phase === 'queued'
      ? [['queued', parseInstant(pull.queuedAt) ?? started]]
      : [
          ['queued', parseInstant(pull.queuedAt)],
          ['resolving', started],
          ['downloading', parseInstant(pull.downloadingAt)],
          ['extracting', parseInstant(pull.extractingAt)],
        ];
  const knownStarts = phaseStarts.filter((mark): mark is [TimelineSpanKind, number] => mark[1] !== undefined);
  // The current phase is known even if its start was not observed.
  const last = knownStarts.at(-1);
  if (live && last && PHASES.has(pull.phase)) last[0] = pull.phase as TimelineSpanKind;
  const found: TimelineSpan[] = [];
  for (const [index, [kind, at]] of knownStarts.entries()) {
    const from = Math.max(axisShare(axis, at), found.at(-1)?.to ?? 0);
    const to = axisShare(axis, Math.min(end, knownStarts[index + 1]?.[1] ?? end));
    if (to >= from) found.push({ kind, from, to });
  }
  if (live && isFresh(pull) && pull.etaSeconds !== undefined && pull.phase !== 'queued') {
    const from = axisShare(axis, axis.now);
    found.push({ kind: 'projected', from, to: axisShare(axis, axis.now + pull.etaSeconds * 1000) });
  }
  return found;
}
