// Filtering, sorting and grouping of the pulls table.

import type { PullStatus } from '../api/gen/wire';
import { endedAt } from './ended';
import type { Filter } from './filter';
import { parseInstant } from './format';
import { imageName, shortName } from './image';
import { isFresh, isLive, type PullState, pullState } from './pull';

export const TABLE_GROUPINGS = ['image', 'node', 'namespace', 'pod', 'state'] as const;
export type TableGrouping = (typeof TABLE_GROUPINGS)[number];

export const SORT_KEYS = [
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
export type SortKey = (typeof SORT_KEYS)[number];

export interface Sort {
  key: SortKey;
  descending: boolean;
}

/** Keys whose values change while a pull is live: sorting by them moves rows. */
const VOLATILE_KEYS = new Set<SortKey>(['state', 'progress', 'bytes', 'speed', 'eta', 'layers']);
export const isVolatile = (sort: Sort | undefined): boolean =>
  sort !== undefined && VOLATILE_KEYS.has(sort.key);

export interface TableView {
  filter: Filter;
  /** Undefined: live pulls by start time, then ended ones, latest first. */
  sort: Sort | undefined;
  group: TableGrouping | undefined;
}

/** A row to render. */
export interface RowItem {
  kind: 'row';
  /** Stable for the row within its group, even when its id changes. */
  key: string;
  id: string;
}

/** A heading with the sums of its rows. */
export interface GroupItem {
  kind: 'group';
  key: string;
  name: string;
  /** The registry, if grouped by image. */
  registry: string | undefined;
  /** The pod, if grouped by pod. */
  pod: { namespace: string; name: string } | undefined;
  sums: GroupSums;
}

export type Item = RowItem | GroupItem;

export interface GroupSums {
  pulls: number;
  live: number;
  failed: number;
  /** Over live pulls with known sizes that are not stale; undefined if there are none. */
  toDownload: number | undefined;
  downloaded: number | undefined;
  toExtract: number | undefined;
  extracted: number | undefined;
  speed: number | undefined;
  /** The longest known ETA. */
  eta: number | undefined;
}

export interface Arrangement {
  items: readonly Item[];
  /** Number of pulls that match the filter, and of all pulls. */
  matched: number;
  total: number;
}

export const EMPTY: Arrangement = { items: [], matched: 0, total: 0 };

/**
 * Filters, sorts and groups rows. `stableId` returns the first id of a row. If `frozen`, rows keep
 * the order of `previous` and new ones are appended. If nothing changed, the items are the same
 * array as before.
 */
export function arrange(
  rows: ReadonlyMap<string, PullStatus>,
  view: TableView,
  stableId: (id: string) => string,
  previous: Arrangement = EMPTY,
  frozen = false,
): Arrangement {
  const found: PullStatus[] = [];
  for (const row of rows.values()) if (view.filter.matches(row)) found.push(row);
  const rank = frozen ? ranks(previous.items) : undefined;
  const items: Item[] =
    view.group === undefined
      ? sortRows(found, view.sort, stableId, rank && ((key) => rank.get(key))).map(({ key, row }) => ({
          kind: 'row',
          key,
          id: row.id,
        }))
      : groupRows(found, view.group, view.sort, stableId, rank);
  return {
    items: hasSameItems(items, previous.items) ? previous.items : items,
    matched: found.length,
    total: rows.size,
  };
}

/** Removes the rows of collapsed groups. */
export function withoutCollapsed(items: readonly Item[], collapsed: ReadonlySet<string>): readonly Item[] {
  if (collapsed.size === 0) return items;
  let isOpen = true;
  return items.filter((item) => {
    if (item.kind === 'row') return isOpen;
    isOpen = !collapsed.has(item.key);
    return true;
  });
}

function ranks(items: readonly Item[]): Map<string, number> {
  return new Map(items.map(({ key }, index) => [key, index]));
}

/** Headings contain figures, so they always count as changed. */
function hasSameItems(items: readonly Item[], previous: readonly Item[]): boolean {
  return (
    items.length === previous.length &&
    items.every((item, index) => {
      const other = previous[index];
      return item.kind === 'row' && other?.kind === 'row' && item.key === other.key && item.id === other.id;
    })
  );
}

interface SortableRow {
  row: PullStatus;
  key: string;
  rank: number;
  sortValue: number | string | undefined;
  /** Rank in the default order; breaks ties. */
  defaultRank: number;
}

const UNRANKED = Number.MAX_SAFE_INTEGER;

function sortRows(
  rows: readonly PullStatus[],
  sort: Sort | undefined,
  stableId: (id: string) => string,
  rank: ((key: string) => number | undefined) | undefined,
): SortableRow[] {
  const by = sort && SORT_VALUES[sort.key];
  const keyed = rows.map((row): SortableRow => {
    const key = stableId(row.id);
    return { row, key, rank: rank?.(key) ?? UNRANKED, sortValue: by?.(row), defaultRank: defaultRank(row) };
  });
  const direction = sort?.descending ? -1 : 1;
  return keyed.sort(
    (a, b) =>
      a.rank - b.rank ||
      compare(a.sortValue, b.sortValue, direction) ||
      a.defaultRank - b.defaultRank ||
      compare(a.key, b.key, 1),
  );
}

/** Unknown values sort last in both directions. */
function compare(a: number | string | undefined, b: number | string | undefined, direction: number): number {
  if (a === b) return 0;
  if (a === undefined) return 1;
  if (b === undefined) return -1;
  return a < b ? -direction : direction;
}

/** Larger than any instant. */
const AFTER_LIVE = 1e15;

function defaultRank(row: PullStatus): number {
  return isLive(row) ? (parseInstant(row.startedAt) ?? 0) : AFTER_LIVE - endedAt(row);
}

/** Most urgent first. */
const BY_URGENCY: readonly PullState[] = [
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

const isCurrent = (row: PullStatus): boolean => isLive(row) && isFresh(row);

const SORT_VALUES: Record<SortKey, (row: PullStatus) => number | string | undefined> = {
  state: (row) => BY_URGENCY.indexOf(pullState(row)),
  image: (row) => {
    const { known, name, version } = imageName(row);
    return known ? `${name} ${version}`.toLowerCase() : undefined;
  },
  node: (row) => row.nodeName,
  progress: (row) => (isLive(row) ? row.percent : undefined),
  bytes: (row) => (isLive(row) ? row.toDownloadBytes : row.totalBytes),
  speed: (row) => (isCurrent(row) ? row.bytesPerSec : undefined),
  eta: (row) => (isCurrent(row) ? row.etaSeconds : undefined),
  layers: (row) => row.layerCount,
  pods: (row) => {
    const pod = row.pods?.[0];
    return pod && `${pod.namespace}/${pod.podName}`;
  },
  started: (row) => parseInstant(row.startedAt),
};

interface RowGroup {
  key: string;
  name: string;
  registry?: string;
  pod?: GroupItem['pod'];
  /** Sort value of the group. */
  sortValue: number | string;
  rows: PullStatus[];
}

/** Sorts groups by name so that they keep their places; rows without a group sort last. */
function groupRows(
  rows: readonly PullStatus[],
  by: TableGrouping,
  sort: Sort | undefined,
  stableId: (id: string) => string,
  rank: ReadonlyMap<string, number> | undefined,
): Item[] {
  const groups = new Map<string, RowGroup>();
  for (const row of rows) {
    for (const group of groupsOf(row, by)) {
      const existing = groups.get(group.key);
      if (existing) existing.rows.push(row);
      else groups.set(group.key, { ...group, rows: [row] });
    }
  }
  const sorted = [...groups.values()].sort(
    (a, b) => compare(a.sortValue, b.sortValue, 1) || compare(a.key, b.key, 1),
  );
  return sorted.flatMap(({ key: group, name, registry, pod, rows: members }): Item[] => [
    { kind: 'group', key: `group ${group}`, name, registry, pod, sums: sumRows(members) },
    ...sortRows(members, sort, stableId, rank && ((key) => rank.get(`${group} ${key}`))).map(
      ({ key, row }): Item => ({ kind: 'row', key: `${group} ${key}`, id: row.id }),
    ),
  ]);
}

const SORTS_LAST = '\uffff';

/** Groups of a pull; there may be several pods and namespaces. */
function groupsOf(row: PullStatus, by: TableGrouping): Omit<RowGroup, 'rows'>[] {
  switch (by) {
    case 'image': {
      const name = shortName(row);
      const { known, registry } = imageName(row);
      return [
        {
          key: `${registry}/${name}`,
          name,
          registry,
          sortValue: known ? name.toLowerCase() : SORTS_LAST,
        },
      ];
    }
    case 'node':
      return [{ key: row.nodeName, name: row.nodeName, sortValue: row.nodeName }];
    case 'state': {
      const state = pullState(row);
      return [{ key: state, name: state, sortValue: BY_URGENCY.indexOf(state) }];
    }
    case 'namespace': {
      const found = [...new Set((row.pods ?? []).map(({ namespace }) => namespace))];
      if (found.length === 0) return [{ key: '', name: 'No waiting pod', sortValue: SORTS_LAST }];
      return found.map((name) => ({ key: name, name, sortValue: name }));
    }
    case 'pod': {
      const found = new Map((row.pods ?? []).map((link) => [`${link.namespace}/${link.podName}`, link]));
      if (found.size === 0) return [{ key: '', name: 'No waiting pod', sortValue: SORTS_LAST }];
      return [...found].map(([name, { namespace, podName }]) => ({
        key: name,
        name,
        sortValue: name,
        pod: { namespace, name: podName },
      }));
    }
  }
}

const addKnown = (sum: number | undefined, more: number | undefined): number | undefined =>
  more === undefined ? sum : (sum ?? 0) + more;

export function sumRows(rows: Iterable<PullStatus>): GroupSums {
  const sum: GroupSums = {
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
    // The state of a stale pull is unknown.
    if (!isFresh(row)) continue;
    if (row.toDownloadBytes !== undefined) {
      sum.toDownload = addKnown(sum.toDownload, row.toDownloadBytes);
      sum.downloaded = addKnown(sum.downloaded, row.downloadedBytes ?? 0);
      sum.toExtract = addKnown(sum.toExtract, row.toExtractBytes ?? row.toDownloadBytes);
      sum.extracted = addKnown(sum.extracted, row.extractedBytes ?? 0);
    }
    sum.speed = addKnown(sum.speed, row.bytesPerSec);
    if (row.etaSeconds !== undefined) sum.eta = Math.max(sum.eta ?? 0, row.etaSeconds);
  }
  return sum;
}

/** Parses `-speed`; undefined if invalid. */
export function parseSort(text: string | null): Sort | undefined {
  const key = SORT_KEYS.find((known) => known === text?.replace(/^-/, ''));
  return key && { key, descending: text?.startsWith('-') ?? false };
}

export const formatSort = (sort: Sort | undefined): string | undefined =>
  sort && `${sort.descending ? '-' : ''}${sort.key}`;

/** Cycles numbers from descending, text from ascending, then reversed, then the default order. */
export function nextSort(sort: Sort | undefined, key: SortKey): Sort | undefined {
  const descending = !['state', 'image', 'node', 'pods', 'eta'].includes(key);
  if (sort?.key !== key) return { key, descending };
  return sort.descending === descending ? { key, descending: !descending } : undefined;
}

export const parseGroup = (text: string | null): TableGrouping | undefined =>
  TABLE_GROUPINGS.find((known) => known === text);
