// Each node: whether its agent is heard, what it pulls, what it has in its queue. And its pulls on one axis of time.

import type { NodeState, NodeStatus, PullStatus } from '../api/gen/wire';
import { endedAt } from './ended';
import { duration, instant } from './format';
import { isLive, isSeen } from './pull';

/** One row of the table: flat, so that one that says the same is not drawn again. */
export interface NodeEntry {
  name: string;
  /** Undefined of a node that only its pulls name. */
  state: NodeState | undefined;
  /** When it was last heard, where it is not heard now: while it is, that changes each second, and says nothing. */
  silentSince: string | undefined;
  /** Undefined where it is not known, or not of now. */
  speed: number | undefined;
  running: number;
  queued: number;
  stalled: number;
  ended: number;
  failed: number;
  agent: string | undefined;
  runtime: string | undefined;
  /** How far the server's clock is ahead of the node's. */
  offsetMs: number | undefined;
}

export function nodes(known: Iterable<NodeStatus>, rows: Iterable<PullStatus>): NodeEntry[] {
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
  for (const node of known) found.set(node.name, entry(node.name, node));
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
      if (pull.stalledSince !== undefined && isSeen(pull)) node.stalled += 1;
    }
  }
  return [...found.values()];
}

/** Beyond that, times of the node and of the cluster do not fit together. */
const OFFSET_MS = 2_000;

export const isOff = (offsetMs: number | undefined): boolean => Math.abs(offsetMs ?? 0) >= OFFSET_MS;

/** `3.2 s behind`; undefined where that is not known. */
export function offsetText(offsetMs: number | undefined): string | undefined {
  if (offsetMs === undefined) return undefined;
  if (Math.abs(offsetMs) < 100) return 'in step';
  return `${duration(Math.abs(offsetMs) / 1000)} ${offsetMs > 0 ? 'behind' : 'ahead'}`;
}

export const SHOWS = ['all', 'pulling', 'trouble'] as const;
export type Show = (typeof SHOWS)[number];

/** Whether a person should look at it. */
export const inTrouble = (node: NodeEntry): boolean =>
  (node.state !== undefined && node.state !== 'live') ||
  node.stalled > 0 ||
  node.failed > 0 ||
  isOff(node.offsetMs);

export function isShown(node: NodeEntry, show: Show): boolean {
  if (show === 'pulling') return node.running + node.queued > 0;
  return show === 'all' || inTrouble(node);
}

export function nodeMatches({ name, state, agent, runtime }: NodeEntry, words: readonly string[]): boolean {
  const text = `${name} ${state ?? ''} ${agent ?? ''} ${runtime ?? ''}`.toLowerCase();
  return words.every((word) => text.includes(word));
}

/** What is queued, what runs, what ended: the next thing first, then the last one. */
export function pullsOf(rows: Iterable<PullStatus>, name: string): PullStatus[] {
  const rank = (pull: PullStatus): number => (!isLive(pull) ? 2 : pull.phase === 'queued' ? 1 : 0);
  const start = (pull: PullStatus): number => instant(pull.startedAt) ?? 0;
  const own: PullStatus[] = [];
  for (const pull of rows) if (pull.nodeName === name) own.push(pull);
  return own.sort(
    (a, b) =>
      rank(a) - rank(b) ||
      (rank(a) === 2 ? endedAt(b) - endedAt(a) : start(a) - start(b)) ||
      (a.id < b.id ? -1 : 1),
  );
}

export type SpanKind = 'queued' | 'resolving' | 'downloading' | 'extracting' | 'projected';

/** From where to where on the axis, 0 to 1 each. */
export interface Span {
  kind: SpanKind;
  from: number;
  to: number;
}

/** Milliseconds of instants. */
export interface Axis {
  start: number;
  end: number;
  now: number;
  ticks: readonly number[];
}

/** Seconds from one tick to the next: on a clock these are round. */
const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 14_400, 21_600, 43_200];
const DAY = 86_400;
const TICKS = 7;
const LEAST_MS = 10_000;
/** What is to come takes at most as much of the axis as what has been. */
const FUTURE = 1;

const begin = (pull: PullStatus): number | undefined => instant(pull.queuedAt) ?? instant(pull.startedAt);

/** An axis on which all of them are, to now and to where the last one is thought to end. */
export function axisOf(pulls: Iterable<PullStatus>, now: number): Axis {
  let start = now - LEAST_MS;
  let ready = now;
  for (const pull of pulls) {
    start = Math.min(start, begin(pull) ?? now);
    if (isLive(pull) && isSeen(pull)) ready = Math.max(ready, now + (pull.etaSeconds ?? 0) * 1000);
  }
  const most = now + (now - start) * FUTURE;
  const until = Math.min(ready, most);
  const span = (until - start) / 1000;
  const step = STEPS.find((each) => span / each <= TICKS) ?? Math.ceil(span / TICKS / DAY) * DAY;
  // In steps, so that bars do not creep.
  const whole = (at: number, round: (x: number) => number): number => round(at / (step * 500)) * step * 500;
  const from = whole(start, Math.floor);
  const to = whole(until, Math.ceil);
  const ticks: number[] = [];
  for (let at = Math.ceil(from / (step * 1000)) * step * 1000; at <= to; at += step * 1000) ticks.push(at);
  return { start: from, end: to, now, ticks };
}

export const shareOf = ({ start, end }: Axis, at: number): number =>
  Math.min(1, Math.max(0, (at - start) / (end - start)));

const PHASES = new Set<string>(['queued', 'resolving', 'downloading', 'extracting']);

/** What a pull was doing when, as far as that was seen. None of them overlap. */
export function spans(pull: PullStatus, axis: Axis): Span[] {
  const live = isLive(pull);
  const stop = instant(pull.completedAt) ?? instant(pull.staleSince) ?? axis.now;
  const started = instant(pull.startedAt);
  const marks: [SpanKind, number | undefined][] =
    pull.phase === 'queued'
      ? [['queued', instant(pull.queuedAt) ?? started]]
      : [
          ['queued', instant(pull.queuedAt)],
          ['resolving', started],
          ['downloading', instant(pull.downloadingAt)],
          ['extracting', instant(pull.extractingAt)],
        ];
  const known = marks.filter((mark): mark is [SpanKind, number] => mark[1] !== undefined);
  // What it does now is known, also where nobody saw since when.
  const last = known.at(-1);
  if (live && last && PHASES.has(pull.phase)) last[0] = pull.phase as SpanKind;
  const found: Span[] = [];
  for (const [index, [kind, at]] of known.entries()) {
    const from = Math.max(shareOf(axis, at), found.at(-1)?.to ?? 0);
    const to = shareOf(axis, Math.min(stop, known[index + 1]?.[1] ?? stop));
    if (to >= from) found.push({ kind, from, to });
  }
  if (live && isSeen(pull) && pull.etaSeconds !== undefined && pull.phase !== 'queued') {
    const from = shareOf(axis, axis.now);
    found.push({ kind: 'projected', from, to: shareOf(axis, axis.now + pull.etaSeconds * 1000) });
  }
  return found;
}
