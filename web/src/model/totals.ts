// The sums of everything that is shown.

import type { NodeStatus, PodLink, PullStatus } from '../api/gen/wire';
import { instant } from './format';
import { isLive, pullState } from './pull';

/** What tells a pod from all others: nothing need be put together of a uid. */
export const podKey = ({ uid, namespace, podName }: PodLink): string => uid || `${namespace}/${podName}`;

/** Over all rows and nodes. */
export interface Totals {
  nodes: number;
  lost: number;
  /** Nodes that are heard and have live pulls, not only queued ones. */
  pulling: number;
  live: number;
  /** Live pulls that wait in a kubelet's queue. */
  queued: number;
  /** Live pulls of which nobody knows what they do: they are in none of the figures below. */
  unseen: number;
  /** Pods that wait for live pulls, as far as they are known. */
  pods: number;
  /** When the first of those pulls was announced or began; undefined where no pod is known to wait. */
  podsSince: number | undefined;
  waiting: number;
  stalled: number;
  slow: number;
  failed: number;
  completed: number;
  /**
   * Bytes to come of live pulls whose sizes are known, by the nodes' sums: a layer that several share counts once.
   * Undefined where no node is heard that pulls.
   */
  toGo: number | undefined;
  /** Undefined where no node knows its speed. */
  speed: number | undefined;
  /** When the last of those is ready whose time left is known. */
  lastReady: number | undefined;
  /** The id of that one. */
  lastPull: string | undefined;
  /** Live pulls whose time left is not known. */
  withoutEta: number;
}

export function totals(pulls: Iterable<PullStatus>, nodes: Iterable<NodeStatus>): Totals {
  const sum: Totals = {
    nodes: 0,
    lost: 0,
    pulling: 0,
    live: 0,
    queued: 0,
    unseen: 0,
    pods: 0,
    podsSince: undefined,
    waiting: 0,
    stalled: 0,
    slow: 0,
    failed: 0,
    completed: 0,
    toGo: undefined,
    speed: undefined,
    lastReady: undefined,
    lastPull: undefined,
    withoutEta: 0,
  };
  for (const node of nodes) {
    sum.nodes += 1;
    if (node.state === 'lost') {
      // What a silent node does is not known: its figures are of the past.
      sum.lost += 1;
      continue;
    }
    if (node.live > 0) sum.toGo = (sum.toGo ?? 0) + Math.max(0, node.toDownloadBytes - node.downloadedBytes);
    if (node.bytesPerSec !== undefined) sum.speed = (sum.speed ?? 0) + node.bytesPerSec;
  }
  const pulling = new Set<string>();
  const pods = new Set<string>();
  let podsSince = '~';
  for (const pull of pulls) {
    const state = pullState(pull);
    if (!isLive(pull)) {
      if (state === 'failed') sum.failed += 1;
      if (state === 'completed') sum.completed += 1;
      continue;
    }
    sum.live += 1;
    if (pull.pods?.length) {
      for (const link of pull.pods) pods.add(podKey(link));
      const since = pull.queuedAt ?? pull.startedAt;
      // Instants are told in one format, so only the first of them must be read.
      if (since < podsSince) podsSince = since;
    }
    if (state === 'unseen') {
      sum.unseen += 1;
      continue;
    }
    if (state === 'queued') sum.queued += 1;
    else pulling.add(pull.nodeName);
    if (state === 'waiting') sum.waiting += 1;
    if (state === 'stalled') sum.stalled += 1;
    if (pull.slow) sum.slow += 1;
    if (pull.etaSeconds === undefined) sum.withoutEta += 1;
    else if (pull.etaSeconds >= (sum.lastReady ?? 0)) {
      sum.lastReady = pull.etaSeconds;
      sum.lastPull = pull.id;
    }
  }
  sum.pulling = pulling.size;
  sum.pods = pods.size;
  sum.podsSince = instant(podsSince);
  return sum;
}
