// A pod and its images as text. API responses are validated first.

import type { ClusterStatus, PodImage, PodPulls, PodStatus } from '../api/gen/wire';

type JsonObject = Record<string, unknown>;
const isObject = (value: unknown): value is JsonObject => typeof value === 'object' && value !== null;
const hasStrings = (value: JsonObject, names: readonly string[]): boolean =>
  names.every((name) => typeof value[name] === 'string');

/** Validates a response as far as the page relies on it; undefined if invalid. */
export function parsePod(answer: unknown): Pick<PodPulls, 'pod' | 'pulls'> | undefined {
  if (!isObject(answer) || !isObject(answer.pod)) return undefined;
  const { pod, pulls } = answer;
  if (!hasStrings(pod, ['namespace', 'podName', 'uid', 'nodeName', 'summary'])) return undefined;
  if (!Array.isArray(pod.images)) return undefined;
  const images = pod.images.filter(
    (image) => isObject(image) && hasStrings(image, ['container', 'kind', 'image', 'state']),
  );
  return {
    pod: { ...(pod as unknown as PodStatus), images },
    pulls: Array.isArray(pulls) ? pulls.filter((pull) => isObject(pull) && typeof pull.id === 'string') : [],
  };
}

export type PodState = 'ready' | 'moving' | 'still' | 'failing';

/** State of the pod, most urgent first. */
export function podState(pod: PodStatus): PodState {
  if (pod.ready) return 'ready';
  if (pod.images.some(({ state }) => state === 'failed')) return 'failing';
  return pod.moving ? 'moving' : 'still';
}

const CONTAINER_KINDS: Record<string, string> = {
  volume: 'volume',
  init: 'init container',
  sidecar: 'sidecar',
  container: 'container',
  ephemeral: 'ephemeral container',
};

const humanized = (word: string): string => word.replaceAll('_', ' ');

/** `init container setup` */
export const containerLabel = ({ kind, container }: PodImage): string =>
  `${CONTAINER_KINDS[kind] ?? humanized(String(kind))} ${container}`.trim();

/** Labels of image states. */
export const IMAGE_STATE_LABELS: Record<string, string> = {
  pending: 'Not requested yet',
  queued: 'Queued',
  pulling: 'Pulling',
  failed: 'Failed',
  present: 'Present',
};

export const imageStateLabel = (state: string): string => IMAGE_STATE_LABELS[state] ?? humanized(state);

/** Number of images that are present on the node. */
export function countPresent(images: readonly PodImage[]): number {
  return images.filter(({ state }) => state === 'present').length;
}

const SOURCE_PROBLEMS: Record<string, string> = {
  listing: 'the server is still listing pods',
  forbidden: 'the server is not allowed to list pods',
  unauthorized: "the Kubernetes API rejected the server's credentials",
  unreachable: 'the Kubernetes API is unreachable',
  odd: 'the Kubernetes API returned malformed data',
  off: 'pods are disabled on the server',
};

/** Why pods are unavailable; undefined if they are available or the state is unknown. */
export function podsUnavailable(cluster: ClusterStatus | undefined): string | undefined {
  if (cluster === undefined || cluster.pods === 'live') return undefined;
  const why =
    SOURCE_PROBLEMS[cluster.pods] ?? `the state of the pod source is ${humanized(String(cluster.pods))}`;
  return cluster.podsReason ? `${why}: ${cluster.podsReason}` : why;
}
