// Filtering, sorting and grouping of the pulls table.

import type { PullStatus } from '../api/gen/wire';
import { endedAt } from './ended';
import type { Filter } from './filter';
import { parseInstant } from './format';
import { imageName, shortName } from './image';
import { positionsOf } from './keepPositions';
import { isFresh, isLive, type PullState, pullState } from './pull';
import { type Sort, type SortValue, sortItems } from './sort';

export const TABLE_GROUPINGS = ['image', 'node', 'namespace', 'pod', 'state'] as const;
export type TableGrouping = (typeof TABLE_GROUPINGS)[number];

export type SortKey =
  | 'state'
  | 'image'
  | 'node'
  | 'progress'
  | 'bytes'
  | 'speed'
  | 'eta'
  | 'layers'
  | 'pods'
  | 'started';

/** Keys whose values change while a pull is live: sorting by them moves rows. */
const VOLATILE_KEYS = new Set<SortKey>(['state', 'progress', 'bytes', 'speed', 'eta', 'layers']);
export const isVolatile = (sort: Sort<SortKey> | undefined): boolean =>
  sort !== undefined && VOLATILE_KEYS.has(sort.key);

export interface TableView {
  filter: Filter;
  /** Undefined: live pulls by start time, then ended ones, latest first. */
  sort: Sort<SortKey> | undefined;
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
  const positions = frozen ? positionsOf(previous.items.map(({ key }) => key)) : undefined;
  const sorted = (members: readonly PullStatus[], prefix = ''): RowItem[] =>
    sortItems(members, {
      keyOf: ({ id }) => prefix + stableId(id),
      value: view.sort && SORT_VALUES[view.sort.key],
      descending: view.sort?.descending,
      tieBreaker: defaultRank,
      positions,
    }).map(({ key, item }) => ({ kind: 'row', key, id: item.id }));
  const items = view.group === undefined ? sorted(found) : groupRows(found, view.group, sorted);
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

const SORT_VALUES: Record<SortKey, (row: PullStatus) => SortValue> = {
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
  sortValue: SortValue;
  rows: PullStatus[];
}

/** Sorts groups by name so that they keep their places; rows without a group sort last. */
function groupRows(
  rows: readonly PullStatus[],
  by: TableGrouping,
  sorted: (members: readonly PullStatus[], prefix: string) => RowItem[],
): Item[] {
  const groups = new Map<string, RowGroup>();
  for (const row of rows) {
    for (const group of groupsOf(row, by)) {
      const existing = groups.get(group.key);
      if (existing) existing.rows.push(row);
      else groups.set(group.key, { ...group, rows: [row] });
    }
  }
  const ordered = sortItems([...groups.values()], {
    keyOf: ({ key }) => key,
    value: ({ sortValue }) => sortValue,
  });
  return ordered.flatMap(({ key, item: { name, registry, pod, rows: members } }): Item[] => [
    { kind: 'group', key: `group ${key}`, name, registry, pod, sums: sumRows(members) },
    ...sorted(members, `${key} `),
  ]);
}

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
          sortValue: known ? name.toLowerCase() : undefined,
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
      if (found.length === 0) return [{ key: '', name: 'No waiting pod', sortValue: undefined }];
      return found.map((name) => ({ key: name, name, sortValue: name }));
    }
    case 'pod': {
      const found = new Map((row.pods ?? []).map((link) => [`${link.namespace}/${link.podName}`, link]));
      if (found.size === 0) return [{ key: '', name: 'No waiting pod', sortValue: undefined }];
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

export const parseGroup = (text: string | null): TableGrouping | undefined =>
  TABLE_GROUPINGS.find((known) => known === text);
