// Plan of a simulated cluster: nodes, pods and failures. Times are in seconds.

import type { ClusterStatus, FailureReason, SlotKind } from '../src/api/gen/wire';
import { MiB } from './catalogue';
import { random, randomHex, randomText } from './random';

/** Deviations from a normal pull of one image on one node. */
export interface PullBehaviour {
  /** Ends the pull at this share of its bytes; 0 means before the manifest. */
  ending?: {
    outcome: 'failed' | 'cancelled' | 'unknown';
    share: number;
    reason?: FailureReason;
    message?: string;
    /** Number of attempts that fail; by default all. */
    attempts?: number;
  };
  /** Stops receiving data at this share. */
  stall?: { share: number; seconds?: number };
  /** Maximum bytes per second. */
  maxSpeed?: number;
  /** The manifest is never observed, so sizes are unknown. */
  hidesManifest?: boolean;
  /** Layers are mounted from the registry instead of downloaded. */
  mountsRemotely?: boolean;
  /** Response time of the registry for the manifest. */
  resolveSeconds?: number;
  /** Pulled even if present: `imagePullPolicy: Always`. */
  alwaysPull?: boolean;
}

export interface ConsumerPlan {
  container: string;
  kind: SlotKind;
  image: string;
  behaviour?: PullBehaviour;
}

export interface PodPlan {
  namespace: string;
  name: string;
  uid: string;
  node: string;
  /** Time at which the kubelet receives the pod. */
  scheduledAt: number;
  /** In the order in which the kubelet pulls the images. */
  consumers: readonly ConsumerPlan[];
}

export interface NodePlan {
  name: string;
  /** Bytes per second, shared by all downloads. */
  bandwidth: number;
  /** Compressed bytes extracted per second and image. */
  unpackSpeed: number;
  /** The kubelet's limit of parallel pulls. */
  maxParallelPulls: number;
  runtimeVersion: string;
  /** Images whose layers are present from the start. */
  cachedImages: readonly string[];
  /** Reported as slower than usual. */
  slow?: boolean;
  /** Time after which the agent stops reporting. */
  silentAt?: number;
  /** Server clock minus node clock, in milliseconds. */
  clockOffsetMs?: number;
}

export interface Plan {
  seed: string;
  clusterName: string;
  nodes: readonly NodePlan[];
  pods: readonly PodPlan[];
  /** Start and end of the simulated period. */
  from: number;
  until: number;
  cluster: ClusterStatus;
  version: string;
  /** Start time of the server. */
  startedAt: number;
  keepsEndedSeconds: number;
}

export const LIVE_CLUSTER: ClusterStatus = { pods: 'live', events: 'live' };

/** A plan with defaults. */
export function plan(
  seed: string,
  nodes: readonly NodePlan[],
  pods: readonly PodPlan[],
  overrides: Partial<Plan> = {},
): Plan {
  return {
    seed,
    clusterName: 'prod-eu-west-1',
    nodes,
    pods,
    from: -1800,
    until: 240,
    cluster: LIVE_CLUSTER,
    version: '0.2.0',
    startedAt: -86_400 * 3,
    keepsEndedSeconds: 1800,
    ...overrides,
  };
}

export function node(name: string, overrides: Partial<NodePlan> = {}): NodePlan {
  const gpu = name.startsWith('gpu');
  return {
    name,
    bandwidth: (gpu ? 165 : 62) * MiB * (0.75 + 0.5 * random('bandwidth', name)),
    unpackSpeed: (gpu ? 150 : 95) * MiB,
    maxParallelPulls: 2,
    runtimeVersion: 'containerd://2.4.2',
    // System images contain the base layers of many images.
    cachedImages: ['registry.k8s.io/pause:3.10.1', 'quay.io/cilium/cilium:v1.18.2'],
    ...overrides,
  };
}

/** Characters that Kubernetes uses in generated names. */
const SAFE_CHARACTERS = 'bcdfghjklmnpqrstvwxz2456789';

export function pod(
  namespace: string,
  app: string,
  index: number | string,
  nodeName: string,
  scheduledAt: number,
  consumers: readonly ConsumerPlan[],
): PodPlan {
  const name = `${app}-${randomText(SAFE_CHARACTERS, 10, 'replicas', namespace, app)}-${randomText(SAFE_CHARACTERS, 5, 'pod', app, index, nodeName)}`;
  const [a, b] = [randomHex(8, 'uid', name), randomHex(12, 'uid.node', name)];
  return { namespace, name, uid: `${a}-4d2e-4c1b-9f3a-${b}`, node: nodeName, scheduledAt, consumers };
}

export const container = (name: string, image: string, behaviour?: PullBehaviour): ConsumerPlan => ({
  container: name,
  kind: 'container',
  image,
  ...(behaviour ? { behaviour } : {}),
});
