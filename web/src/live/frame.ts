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
  /** How many rows, motions, ids or nodes were left out. */
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
  isOptional(value.waitingOn, isWaiting);
const isFailure = (value: unknown): value is Failure =>
  isObject(value) &&
  isText(value.reason) &&
  [value.message, value.hint].every((text) => text === undefined || typeof text === 'string');
const isLink = (value: unknown): value is PodLink =>
  isObject(value) && isText(value.namespace) && isText(value.podName) && typeof value.container === 'string';
const isOptional = (value: unknown, is: (item: unknown) => boolean): boolean =>
  value === undefined || is(value);
const isList = (value: unknown, is: (item: unknown) => boolean): boolean =>
  value === undefined || (Array.isArray(value) && value.every(is));
export const isRow = (value: unknown): value is PullStatus =>
  isObject(value) &&
  isText(value.id) &&
  isText(value.nodeName) &&
  isText(value.phase) &&
  isOptional(value.failure, isFailure) &&
  isOptional(value.waitingOn, isWaiting) &&
  isOptional(value.kubelet, isObject) &&
  isList(value.pods, isLink) &&
  isList(value.candidates, isLink) &&
  isList(value.layers, isLayer);
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
  const frame = {
    seq: value.seq,
    now: isText(value.now) ? value.now : '',
    rows: only(value.rows, isRow),
    up: only(value.up, isMotion),
    rm: only(value.rm, isText),
    nodes: only(value.nodes, isNode),
  };
  return { frame, left };
}
