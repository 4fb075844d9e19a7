// What came over the wire, checked as far as the page relies on it. What is not understood is left out and counted.

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

export interface Understood {
  frame: Frame;
  /** How many rows, parts of rows, motions, ids or nodes were left out. */
  left: number;
}

type Fields = Record<string, unknown>;

const isObject = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const isText = (value: unknown): value is string => typeof value === 'string' && value !== '';
const isWaiting = (value: unknown): value is WaitingOn => isObject(value) && isText(value.kind);
const isLayer = (value: unknown): value is LayerStatus =>
  isObject(value) &&
  isText(value.digest) &&
  isText(value.state) &&
  typeof value.totalBytes === 'number' &&
  (value.waitingOn === undefined || isWaiting(value.waitingOn));
const isFailure = (value: unknown): value is Failure =>
  isObject(value) &&
  isText(value.reason) &&
  [value.message, value.hint].every((text) => text === undefined || typeof text === 'string');
const isLink = (value: unknown): value is PodLink =>
  isObject(value) && isText(value.namespace) && isText(value.podName) && typeof value.container === 'string';
/** What a row is nothing without. */
const isRow = (value: unknown): value is PullStatus =>
  isObject(value) && isText(value.id) && isText(value.nodeName) && isText(value.phase);

const isString = (value: unknown): boolean => typeof value === 'string';

/** What may be there beside, and what it must be: one that is not is left out, and the row stays. */
const BESIDE: readonly (readonly [keyof PullStatus, (value: unknown) => boolean])[] = [
  ['failure', isFailure],
  ['waitingOn', isWaiting],
  ['kubelet', isObject],
  // A strip of which a layer is missing would be a false one.
  ['layers', (value) => Array.isArray(value) && value.every(isLayer)],
  ...(['imageRef', 'repository', 'rootDigest', 'manifestDigest', 'platform', 'error'] as const).map(
    (field) => [field, isString] as const,
  ),
];

/** The row with what of it is understood, and how much was left out; undefined where it is no row. */
export function understandRow(value: unknown): { row: PullStatus; left: number } | undefined {
  if (!isRow(value)) return undefined;
  const row = { ...value };
  let left = 0;
  for (const [field, is] of BESIDE) {
    if (row[field] === undefined || is(row[field])) continue;
    delete row[field];
    left += 1;
  }
  for (const field of ['pods', 'candidates'] as const) {
    const list: unknown = row[field];
    if (list === undefined) continue;
    const all = Array.isArray(list) ? list : [list];
    row[field] = all.filter(isLink);
    left += all.length - row[field].length;
  }
  return { row, left };
}

const isMotion = (value: unknown): value is PullMotion =>
  Array.isArray(value) && typeof value[0] === 'number' && Array.isArray(value[9]);
const isNode = (value: unknown): value is NodeStatus =>
  isObject(value) && isText(value.name) && isText(value.state);

/** The frame in `data`; undefined where it is none. */
export function understand(data: string): Understood | undefined {
  let value: unknown;
  try {
    value = JSON.parse(data);
  } catch {
    return undefined;
  }
  if (!isObject(value) || typeof value.seq !== 'number') return undefined;
  let left = 0;
  const only = <T>(list: unknown, is: (item: unknown) => item is T): T[] => {
    if (list === undefined) return [];
    if (!Array.isArray(list)) {
      left += 1;
      return [];
    }
    const good = list.filter(is);
    left += list.length - good.length;
    return good;
  };
  const rows = only(value.rows, isRow).flatMap((each) => {
    const understood = understandRow(each);
    left += understood?.left ?? 0;
    return understood?.row ?? [];
  });
  const frame = {
    seq: value.seq,
    now: isText(value.now) ? value.now : '',
    rows,
    up: only(value.up, isMotion),
    rm: only(value.rm, isText),
    nodes: only(value.nodes, isNode),
  };
  return { frame, left };
}
