// Validates frames of the event stream as far as the page relies on them. Invalid parts are dropped
// and counted.

import type {
  Failure,
  Frame,
  LayerStatus,
  NodeStatus,
  PodLink,
  PullMotion,
  PullStatus,
  WaitingOn,
} from '../api/gen/wire';

export interface ParsedFrame {
  frame: Frame;
  /** Number of rows, fields, motions, ids and nodes that were dropped. */
  dropped: number;
}

type JsonObject = Record<string, unknown>;

const isObject = (value: unknown): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const isNonEmptyString = (value: unknown): value is string => typeof value === 'string' && value !== '';
const isWaiting = (value: unknown): value is WaitingOn => isObject(value) && isNonEmptyString(value.kind);
const isLayer = (value: unknown): value is LayerStatus =>
  isObject(value) &&
  isNonEmptyString(value.digest) &&
  isNonEmptyString(value.state) &&
  typeof value.totalBytes === 'number' &&
  (value.waitingOn === undefined || isWaiting(value.waitingOn));
const isFailure = (value: unknown): value is Failure =>
  isObject(value) &&
  isNonEmptyString(value.reason) &&
  [value.message, value.hint].every((text) => text === undefined || typeof text === 'string');
const isPodLink = (value: unknown): value is PodLink =>
  isObject(value) &&
  isNonEmptyString(value.namespace) &&
  isNonEmptyString(value.podName) &&
  typeof value.container === 'string';
/** Checks the required fields of a row. */
const isRow = (value: unknown): value is PullStatus =>
  isObject(value) &&
  isNonEmptyString(value.id) &&
  isNonEmptyString(value.nodeName) &&
  isNonEmptyString(value.phase);

const isString = (value: unknown): boolean => typeof value === 'string';

/** Optional fields and their validators. An invalid value is dropped; the row is kept. */
const OPTIONAL_FIELDS: readonly (readonly [keyof PullStatus, (value: unknown) => boolean])[] = [
  ['failure', isFailure],
  ['waitingOn', isWaiting],
  ['kubelet', isObject],
  // One invalid layer drops the list: a strip without it would be misleading.
  ['layers', (value) => Array.isArray(value) && value.every(isLayer)],
  ...(['imageRef', 'repository', 'rootDigest', 'manifestDigest', 'platform', 'error'] as const).map(
    (field) => [field, isString] as const,
  ),
];

/**
 * Returns the row without its invalid fields and the number of dropped ones; undefined if `value`
 * is not a row.
 */
export function parseRow(value: unknown): { row: PullStatus; dropped: number } | undefined {
  if (!isRow(value)) return undefined;
  const row = { ...value };
  let dropped = 0;
  for (const [field, isValid] of OPTIONAL_FIELDS) {
    if (row[field] === undefined || isValid(row[field])) continue;
    delete row[field];
    dropped += 1;
  }
  for (const field of ['pods', 'candidates'] as const) {
    const list: unknown = row[field];
    if (list === undefined) continue;
    const all = Array.isArray(list) ? list : [list];
    row[field] = all.filter(isPodLink);
    dropped += all.length - row[field].length;
  }
  return { row, dropped };
}

const isMotion = (value: unknown): value is PullMotion =>
  Array.isArray(value) && typeof value[0] === 'number' && Array.isArray(value[9]);
const isNode = (value: unknown): value is NodeStatus =>
  isObject(value) && isNonEmptyString(value.name) && isNonEmptyString(value.state);

/** Parses a frame; undefined if `data` is not one. */
export function parseFrame(data: string): ParsedFrame | undefined {
  let value: unknown;
  try {
    value = JSON.parse(data);
  } catch {
    return undefined;
  }
  if (!isObject(value) || typeof value.seq !== 'number') return undefined;
  let dropped = 0;
  const keepValid = <T>(list: unknown, isValid: (item: unknown) => item is T): T[] => {
    if (list === undefined) return [];
    if (!Array.isArray(list)) {
      dropped += 1;
      return [];
    }
    const valid = list.filter(isValid);
    dropped += list.length - valid.length;
    return valid;
  };
  const rows = keepValid(value.rows, isRow).flatMap((each) => {
    const parsed = parseRow(each);
    dropped += parsed?.dropped ?? 0;
    return parsed?.row ?? [];
  });
  const frame = {
    seq: value.seq,
    now: isNonEmptyString(value.now) ? value.now : '',
    rows,
    up: keepValid(value.up, isMotion),
    rm: keepValid(value.rm, isNonEmptyString),
    nodes: keepValid(value.nodes, isNode),
  };
  return { frame, dropped };
}
