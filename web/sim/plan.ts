// What is to happen in a cluster: its nodes, the pods that come to them, and what goes wrong. Times are seconds.

import type { ClusterStatus, FailureReason, SlotKind } from '../src/api/gen/wire';
import { MiB } from './catalogue';
import { chance, hex, letters } from './random';

/** What is special about one image on one node. */
export interface Twist {
  /** How it ends, where not well: once this share of its bytes is here; with 0 before its manifest. */
  ends?: {
    outcome: 'failed' | 'cancelled' | 'unknown';
    share: number;
    reason?: FailureReason;
    message?: string;
    /** How many tries fail; all, where it is not said. */
    tries?: number;
  };
  /** No byte comes, once this share is here. */
  stalls?: { share: number; seconds?: number };
  /** The most bytes per second. */
  cap?: number;
  /** Its manifest is never seen, so its sizes are not known. */
  blind?: boolean;
  /** Its layers are mounted from the registry, and not downloaded. */
  remote?: boolean;
  /** How long the registry takes for the manifest. */
  resolves?: number;
  /** Pulled though it is there: `imagePullPolicy: Always`. */
  always?: boolean;
}

export interface SlotPlan {
  container: string;
  kind: SlotKind;
  image: string;
  twist?: Twist;
}

export interface PodPlan {
  namespace: string;
  name: string;
  uid: string;
  node: string;
  /** When its kubelet hears of it. */
  at: number;
  /** In the order in which the kubelet takes them. */
  slots: readonly SlotPlan[];
}

export interface NodePlan {
  name: string;
  /** Bytes per second, shared by all that is downloaded at once. */
  bandwidth: number;
  /** Compressed bytes per second that are unpacked of one image. */
  unpacks: number;
  /** How many pulls the kubelet lets run at once. */
  parallel: number;
  runtimeVersion: string;
  /** Images whose layers it has from the beginning. */
  has: readonly string[];
  /** Slower than usual, and said to be. */
  slow?: boolean;
  /** Its agent is not heard after that. */
  silentAt?: number;
  /** How far its clock is behind the server's, in milliseconds. */
  clockOffsetMs?: number;
}

export interface Plan {
  seed: string;
  clusterName: string;
  nodes: readonly NodePlan[];
  pods: readonly PodPlan[];
  /** Nothing happens before, and nothing is known after. */
  from: number;
  until: number;
  cluster: ClusterStatus;
  version: string;
  /** When the server began. */
  startedAt: number;
  keepsEndedSeconds: number;
}

export const LIVE: ClusterStatus = { pods: 'live', events: 'live' };

/** A plan of which only the special is said. */
export function plan(
  seed: string,
  nodes: readonly NodePlan[],
  pods: readonly PodPlan[],
  more: Partial<Plan> = {},
): Plan {
  return {
    seed,
    clusterName: 'prod-eu-west-1',
    nodes,
    pods,
    from: -1800,
    until: 240,
    cluster: LIVE,
    version: '0.2.0',
    startedAt: -86_400 * 3,
    keepsEndedSeconds: 1800,
    ...more,
  };
}

export function node(name: string, more: Partial<NodePlan> = {}): NodePlan {
  const gpu = name.startsWith('gpu');
  return {
    name,
    bandwidth: (gpu ? 165 : 62) * MiB * (0.75 + 0.5 * chance('bandwidth', name)),
    unpacks: (gpu ? 150 : 95) * MiB,
    parallel: 2,
    runtimeVersion: 'containerd://2.4.2',
    // What runs on each node brought the base of many images.
    has: ['registry.k8s.io/pause:3.10.1', 'quay.io/cilium/cilium:v1.18.2'],
    ...more,
  };
}

/** Kubernetes names replicas with these characters. */
const SAFE = 'bcdfghjklmnpqrstvwxz2456789';

export function pod(
  namespace: string,
  app: string,
  index: number | string,
  on: string,
  at: number,
  slots: readonly SlotPlan[],
): PodPlan {
  const name = `${app}-${letters(SAFE, 10, 'replicas', namespace, app)}-${letters(SAFE, 5, 'pod', app, index, on)}`;
  const [a, b] = [hex(8, 'uid', name), hex(12, 'uid.node', name)];
  return { namespace, name, uid: `${a}-4d2e-4c1b-9f3a-${b}`, node: on, at, slots };
}

export const container = (name: string, image: string, twist?: Twist): SlotPlan => ({
  container: name,
  kind: 'container',
  image,
  ...(twist ? { twist } : {}),
});
