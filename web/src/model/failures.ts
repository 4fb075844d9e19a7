// What failed, as people go about it: one entry for each reason, image and registry, whoever met it.

import type { PullStatus } from '../api/gen/wire';
import { instant } from './format';
import { type ImageName, imageName } from './image';
import { isLive } from './pull';

export interface FailureGroup {
  /** The same for as long as it is that failure. */
  key: string;
  /** The wire's word: `not_found`. */
  reason: string;
  image: ImageName;
  /** Of the last one that failed: what was said, what to do, when it is tried again. */
  last: PullStatus;
  /** Those that failed, the last one first. */
  pulls: readonly PullStatus[];
  nodes: number;
  /** `namespace/name` of those that wait or waited. */
  pods: readonly string[];
  /** How often it was tried, as far as anybody counted. */
  tries: number;
  firstAt: number | undefined;
  lastAt: number | undefined;
}

const end = (pull: PullStatus): number => instant(pull.completedAt) ?? instant(pull.startedAt) ?? 0;

/** The latest first. What another try has since brought is no failure any more: its row is gone or completed. */
export function failures(rows: Iterable<PullStatus>): FailureGroup[] {
  const groups = new Map<string, PullStatus[]>();
  for (const pull of rows) {
    if (isLive(pull) || pull.outcome !== 'failed') continue;
    const { registry, name, version } = imageName(pull);
    const key = [pull.failure?.reason ?? 'unexplained', registry, name, version].join(' ');
    groups.set(key, [...(groups.get(key) ?? []), pull]);
  }
  return [...groups]
    .map(([key, pulls]) =>
      group(
        key,
        pulls.sort((a, b) => end(b) - end(a)),
      ),
    )
    .sort((a, b) => (b.lastAt ?? 0) - (a.lastAt ?? 0) || (a.key < b.key ? -1 : 1));
}

function group(key: string, pulls: PullStatus[]): FailureGroup {
  const last = pulls[0] as PullStatus;
  const pods = new Set(
    pulls.flatMap((pull) => (pull.pods ?? []).map(({ namespace, podName }) => `${namespace}/${podName}`)),
  );
  return {
    key,
    reason: last.failure?.reason ?? 'unexplained',
    image: imageName(last),
    last,
    pulls,
    nodes: new Set(pulls.map((pull) => pull.nodeName)).size,
    pods: [...pods],
    tries: pulls.reduce((sum, pull) => sum + (pull.attempt ?? 1), 0),
    firstAt: Math.min(...pulls.map(end)) || undefined,
    lastAt: end(last) || undefined,
  };
}
