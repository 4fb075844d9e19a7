// Which pulls are shown, in which order, under which headings.

import type { PullStatus } from '../api/gen/wire';
import { endedAt } from './ended';
import type { Filter } from './filter';
import { instant } from './format';
import { imageName, shortName } from './image';
import { isLive, isSeen, type PullState, pullState } from './pull';

export const GROUPS = ['image', 'node', 'namespace', 'pod', 'state'] as const;
export type GroupBy = (typeof GROUPS)[number];

export const SORTS = [
  'state',
  'image',
  'node',
  'progress',
  'bytes',
  'speed',
  'eta',
  'layers',
  'pods',
  'started',
] as const;
export type SortKey = (typeof SORTS)[number];

export interface Sort {
  key: SortKey;
  /** The largest first. */
  down: boolean;
}

/** What changes while a pull goes on: an order by it moves rows under the reader's eyes. */
const MOVING = new Set<SortKey>(['state', 'progress', 'bytes', 'speed', 'eta', 'layers']);
export const isMoving = (sort: Sort | undefined): boolean => sort !== undefined && MOVING.has(sort.key);

export interface View {
  filter: Filter;
  /** Undefined: what goes on in the order of its start, then what ended, the last one first. */
  sort: Sort | undefined;
  group: GroupBy | undefined;
}

/** A row to draw. */
export interface RowItem {
  kind: 'row';
  /** The same for as long as it is that row in that group, also where its id changes. */
  key: string;
  id: string;
}

/** A heading over rows, with what they are together. */
export interface GroupItem {
  kind: 'group';
  key: string;
  name: string;
  /** Where it comes from: the registry of an image. */
  from: string | undefined;
  /** The pod, where the group is one. */
  pod: { namespace: string; name: string } | undefined;
  sums: Sums;
}

export type Item = RowItem | GroupItem;

export interface Sums {
  pulls: number;
  live: number;
  failed: number;
  /** Of live pulls that are seen and whose sizes are known; undefined where there are none. */
  toDownload: number | undefined;
  downloaded: number | undefined;
  toExtract: number | undefined;
  extracted: number | undefined;
  speed: number | undefined;
  /** The longest that is known. */
  eta: number | undefined;
}

export interface Arranged {
  items: readonly Item[];
  /** How many pulls the filter leaves, and of how many. */
  matched: number;
  total: number;
}

export const NOTHING: Arranged = { items: [], matched: 0, total: 0 };

/**
 * `first` gives the id that a row had first. `held`: what was shown before, whose order stays; what is new comes last.
 * Where nothing changes the items are the same array as before.
 */
export function arrange(
  rows: ReadonlyMap<string, PullStatus>,
  view: View,
  first: (id: string) => string,
  before: Arranged = NOTHING,
  held = false,
): Arranged {
  const found: PullStatus[] = [];
  for (const row of rows.values()) if (view.filter.matches(row)) found.push(row);
  const rank = held ? ranks(before.items) : undefined;
  const items: Item[] =
    view.group === undefined
      ? ordered(found, view.sort, first, rank && ((key) => rank.get(key))).map(({ key, row }) => ({
          kind: 'row',
          key,
          id: row.id,
        }))
      : grouped(found, view.group, view.sort, first, rank);
  return { items: same(items, before.items) ? before.items : items, matched: found.length, total: rows.size };
}

/** Without the rows of groups that are closed. */
export function opened(items: readonly Item[], closed: ReadonlySet<string>): readonly Item[] {
  if (closed.size === 0) return items;
  let open = true;
  return items.filter((item) => {
    if (item.kind === 'row') return open;
    open = !closed.has(item.key);
    return true;
  });
}

function ranks(items: readonly Item[]): Map<string, number> {
  return new Map(items.map(({ key }, index) => [key, index]));
}

/** Headings carry figures, so they are never the same as before. */
function same(items: readonly Item[], before: readonly Item[]): boolean {
  return (
    items.length === before.length &&
    items.every((item, index) => {
      const other = before[index];
      return item.kind === 'row' && other?.kind === 'row' && item.key === other.key && item.id === other.id;
    })
  );
}

interface Keyed {
  row: PullStatus;
  key: string;
  rank: number;
  by: number | string | undefined;
  /** Where it is in the usual order, which decides between those that are alike. */
  usual: number;
}

const LAST = Number.MAX_SAFE_INTEGER;

function ordered(
  rows: readonly PullStatus[],
  sort: Sort | undefined,
  first: (id: string) => string,
  rank: ((key: string) => number | undefined) | undefined,
): Keyed[] {
  const by = sort && BY[sort.key];
  const keyed = rows.map((row): Keyed => {
    const key = first(row.id);
    return { row, key, rank: rank?.(key) ?? LAST, by: by?.(row), usual: usual(row) };
  });
  const turn = sort?.down ? -1 : 1;
  return keyed.sort(
    (a, b) => a.rank - b.rank || compare(a.by, b.by, turn) || a.usual - b.usual || compare(a.key, b.key, 1),
  );
}

/** What is unknown comes last, whichever way. */
function compare(a: number | string | undefined, b: number | string | undefined, turn: number): number {
  if (a === b) return 0;
  if (a === undefined) return 1;
  if (b === undefined) return -1;
  return a < b ? -turn : turn;
}

/** After each instant that there is. */
const FAR = 1e15;

function usual(row: PullStatus): number {
  return isLive(row) ? (instant(row.startedAt) ?? 0) : FAR - endedAt(row);
}

/** In the order of what presses most. */
const PRESSING: readonly PullState[] = [
  'failed',
  'stalled',
  'unseen',
  'waiting',
  'queued',
  'resolving',
  'downloading',
  'extracting',
  'other',
  'cancelled',
  'unknown',
  'completed',
];

const now = (row: PullStatus): boolean => isLive(row) && isSeen(row);

const BY: Record<SortKey, (row: PullStatus) => number | string | undefined> = {
  state: (row) => PRESSING.indexOf(pullState(row)),
  image: (row) => {
    const { known, name, version } = imageName(row);
    return known ? `${name} ${version}`.toLowerCase() : undefined;
  },
  node: (row) => row.nodeName,
  progress: (row) => (isLive(row) ? row.percent : undefined),
  bytes: (row) => (isLive(row) ? row.toDownloadBytes : row.totalBytes),
  speed: (row) => (now(row) ? row.bytesPerSec : undefined),
  eta: (row) => (now(row) ? row.etaSeconds : undefined),
  layers: (row) => row.layerCount,
  pods: (row) => {
    const pod = row.pods?.[0];
    return pod && `${pod.namespace}/${pod.podName}`;
  },
  started: (row) => instant(row.startedAt),
};

interface Group {
  key: string;
  name: string;
  from?: string;
  pod?: GroupItem['pod'];
  /** Where it stands beside others. */
  by: number | string;
  rows: PullStatus[];
}

/** In the order of their names, so that they stay where they are; those of nothing come last. */
function grouped(
  rows: readonly PullStatus[],
  by: GroupBy,
  sort: Sort | undefined,
  first: (id: string) => string,
  rank: ReadonlyMap<string, number> | undefined,
): Item[] {
  const groups = new Map<string, Group>();
  for (const row of rows) {
    for (const place of places(row, by)) {
      const group = groups.get(place.key);
      if (group) group.rows.push(row);
      else groups.set(place.key, { ...place, rows: [row] });
    }
  }
  const known = [...groups.values()].sort((a, b) => compare(a.by, b.by, 1) || compare(a.key, b.key, 1));
  return known.flatMap(({ key: group, name, from, pod, rows: members }): Item[] => [
    { kind: 'group', key: `group ${group}`, name, from, pod, sums: sums(members) },
    ...ordered(members, sort, first, rank && ((key) => rank.get(`${group} ${key}`))).map(
      ({ key, row }): Item => ({ kind: 'row', key: `${group} ${key}`, id: row.id }),
    ),
  ]);
}

const AFTER_ALL = '\uffff';

/** The groups that a pull is in: of pods and namespaces there may be several. */
function places(row: PullStatus, by: GroupBy): Omit<Group, 'rows'>[] {
  switch (by) {
    case 'image': {
      const name = shortName(row);
      const { known, registry } = imageName(row);
      return [
        { key: `${registry}/${name}`, name, from: registry, by: known ? name.toLowerCase() : AFTER_ALL },
      ];
    }
    case 'node':
      return [{ key: row.nodeName, name: row.nodeName, by: row.nodeName }];
    case 'state': {
      const state = pullState(row);
      return [{ key: state, name: state, by: PRESSING.indexOf(state) }];
    }
    case 'namespace': {
      const found = [...new Set((row.pods ?? []).map(({ namespace }) => namespace))];
      if (found.length === 0) return [{ key: '', name: 'No pod is known to wait', by: AFTER_ALL }];
      return found.map((name) => ({ key: name, name, by: name }));
    }
    case 'pod': {
      const found = new Map((row.pods ?? []).map((link) => [`${link.namespace}/${link.podName}`, link]));
      if (found.size === 0) return [{ key: '', name: 'No pod is known to wait', by: AFTER_ALL }];
      return [...found].map(([name, { namespace, podName }]) => ({
        key: name,
        name,
        by: name,
        pod: { namespace, name: podName },
      }));
    }
  }
}

const add = (sum: number | undefined, more: number | undefined): number | undefined =>
  more === undefined ? sum : (sum ?? 0) + more;

export function sums(rows: Iterable<PullStatus>): Sums {
  const sum: Sums = {
    pulls: 0,
    live: 0,
    failed: 0,
    toDownload: undefined,
    downloaded: undefined,
    toExtract: undefined,
    extracted: undefined,
    speed: undefined,
    eta: undefined,
  };
  for (const row of rows) {
    sum.pulls += 1;
    if (!isLive(row)) {
      if (pullState(row) === 'failed') sum.failed += 1;
      continue;
    }
    sum.live += 1;
    // What one does that is not seen, nobody knows.
    if (!isSeen(row)) continue;
    if (row.toDownloadBytes !== undefined) {
      sum.toDownload = add(sum.toDownload, row.toDownloadBytes);
      sum.downloaded = add(sum.downloaded, row.downloadedBytes ?? 0);
      sum.toExtract = add(sum.toExtract, row.toExtractBytes ?? row.toDownloadBytes);
      sum.extracted = add(sum.extracted, row.extractedBytes ?? 0);
    }
    sum.speed = add(sum.speed, row.bytesPerSec);
    if (row.etaSeconds !== undefined) sum.eta = Math.max(sum.eta ?? 0, row.etaSeconds);
  }
  return sum;
}

/** `-speed`; nothing of an order that is none. */
export function parseSort(text: string | null): Sort | undefined {
  const key = SORTS.find((known) => known === text?.replace(/^-/, ''));
  return key && { key, down: text?.startsWith('-') ?? false };
}

export const sortText = (sort: Sort | undefined): string | undefined =>
  sort && `${sort.down ? '-' : ''}${sort.key}`;

/** Numbers begin with the largest, words with the first; then the other way; then as usual. */
export function nextSort(sort: Sort | undefined, key: SortKey): Sort | undefined {
  const down = !['state', 'image', 'node', 'pods', 'eta'].includes(key);
  if (sort?.key !== key) return { key, down };
  return sort.down === down ? { key, down: !down } : undefined;
}

export const parseGroup = (text: string | null): GroupBy | undefined =>
  GROUPS.find((known) => known === text);
