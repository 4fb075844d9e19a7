// Totals over all rows and nodes.

import type { NodeStatus, PodLink, PullStatus } from '../api/gen/wire';
import { parseInstant } from './format';
import { isLive, pullState } from './pull';

/** Unique key of a pod. Avoids building a string if the pod has a uid. */
export const podKey = ({ uid, namespace, podName }: PodLink): string => uid || `${namespace}/${podName}`;

export interface Totals {
  nodes: number;
  lost: number;
  /** Nodes that report and have live pulls that are not queued. */
  pulling: number;
  live: number;
  /** Live pulls waiting in a kubelet's queue. */
  queued: number;
  /** Live pulls whose state is unknown; they count in none of the figures below. */
  stale: number;
  /** Pods known to wait for live pulls. */
  pods: number;
  /** Earliest announcement or start of those pulls; undefined if no pod is known to wait. */
  podsWaitingSince: number | undefined;
  waiting: number;
  stalled: number;
  slow: number;
  failed: number;
  completed: number;
  /**
   * Remaining bytes of live pulls with known sizes, from the nodes' sums, where a shared layer
   * counts once. Undefined if no reporting node pulls.
   */
  remainingBytes: number | undefined;
  /** Undefined if no node knows its speed. */
  speed: number | undefined;
  /** The longest known ETA in seconds. */
  longestEta: number | undefined;
  /** Id of the pull with the longest ETA. */
  longestEtaPull: string | undefined;
  /** Live pulls without an ETA. */
  withoutEta: number;
}

export function computeTotals(pulls: Iterable<PullStatus>, nodes: Iterable<NodeStatus>): Totals {
  const sum: Totals = {
    nodes: 0,
    lost: 0,
    pulling: 0,
    live: 0,
    queued: 0,
    stale: 0,
    pods: 0,
    podsWaitingSince: undefined,
    waiting: 0,
    stalled: 0,
    slow: 0,
    failed: 0,
    completed: 0,
    remainingBytes: undefined,
    speed: undefined,
    longestEta: undefined,
    longestEtaPull: undefined,
    withoutEta: 0,
  };
  for (const node of nodes) {
    sum.nodes += 1;
    if (node.state === 'lost') {
      // The state of a silent node is unknown; its figures are outdated.
      sum.lost += 1;
      continue;
    }
    if (node.live > 0)
      sum.remainingBytes =
        (sum.remainingBytes ?? 0) + Math.max(0, node.toDownloadBytes - node.downloadedBytes);
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
      // Instants share one format, so strings are compared and only one is parsed.
      if (since < podsSince) podsSince = since;
    }
    if (state === 'unseen') {
      sum.stale += 1;
      continue;
    }
    if (state === 'queued') sum.queued += 1;
    else pulling.add(pull.nodeName);
    if (state === 'waiting') sum.waiting += 1;
    if (state === 'stalled') sum.stalled += 1;
    if (pull.slow) sum.slow += 1;
    if (pull.etaSeconds === undefined) sum.withoutEta += 1;
    else if (pull.etaSeconds >= (sum.longestEta ?? 0)) {
      sum.longestEta = pull.etaSeconds;
      sum.longestEtaPull = pull.id;
    }
  }
  sum.pulling = pulling.size;
  sum.pods = pods.size;
  sum.podsWaitingSince = parseInstant(podsSince);
  return sum;
}
