// One pod and the images that it needs, in words. What an answer holds is looked at before it is believed.

import type { ClusterStatus, PodImage, PodPulls, PodStatus } from '../api/gen/wire';

type Fields = Record<string, unknown>;
const isObject = (value: unknown): value is Fields => typeof value === 'object' && value !== null;
const texts = (value: Fields, names: readonly string[]): boolean =>
  names.every((name) => typeof value[name] === 'string');

/** The answer, as far as a page can show it; undefined where it is none. */
export function podOf(answer: unknown): Pick<PodPulls, 'pod' | 'pulls'> | undefined {
  if (!isObject(answer) || !isObject(answer.pod)) return undefined;
  const { pod, pulls } = answer;
  if (!texts(pod, ['namespace', 'podName', 'uid', 'nodeName', 'summary'])) return undefined;
  if (!Array.isArray(pod.images)) return undefined;
  const images = pod.images.filter(
    (image) => isObject(image) && texts(image, ['container', 'kind', 'image', 'state']),
  );
  return {
    pod: { ...(pod as unknown as PodStatus), images },
    pulls: Array.isArray(pulls) ? pulls.filter((pull) => isObject(pull) && typeof pull.id === 'string') : [],
  };
}

export type PodState = 'ready' | 'moving' | 'still' | 'failing';

/** How it stands, in the order of what presses most. */
export function podState(pod: PodStatus): PodState {
  if (pod.ready) return 'ready';
  if (pod.images.some(({ state }) => state === 'failed')) return 'failing';
  return pod.moving ? 'moving' : 'still';
}

const KINDS: Record<string, string> = {
  volume: 'volume',
  init: 'init container',
  sidecar: 'sidecar',
  container: 'container',
  ephemeral: 'ephemeral container',
};

const underscored = (word: string): string => word.replaceAll('_', ' ');

/** `init container setup` */
export const slot = ({ kind, container }: PodImage): string =>
  `${KINDS[kind] ?? underscored(String(kind))} ${container}`.trim();

/** What an image of a pod does. */
export const STATES: Record<string, string> = {
  pending: 'Not asked for yet',
  queued: 'Queued',
  pulling: 'Pulling',
  failed: 'Failed',
  present: 'There',
};

export const stateWord = (state: string): string => STATES[state] ?? underscored(state);

/** `3 of 5`: those that are there, of all. */
export function present(images: readonly PodImage[]): number {
  return images.filter(({ state }) => state === 'present').length;
}

const SOURCES: Record<string, string> = {
  listing: 'the server is still listing the pods of the cluster',
  forbidden: 'the server may not see the pods of the cluster',
  unauthorized: 'the API server of the cluster does not know the server',
  unreachable: 'the server does not reach the API server of the cluster',
  odd: 'the server does not understand what the API server of the cluster says',
  off: 'the server was told to look at no pods',
};

/** Why pods are not known; undefined where they are, or nobody said yet. */
export function podsAway(cluster: ClusterStatus | undefined): string | undefined {
  if (cluster === undefined || cluster.pods === 'live') return undefined;
  const why = SOURCES[cluster.pods] ?? `the server's source of pods is ${underscored(String(cluster.pods))}`;
  return cluster.podsReason ? `${why}: ${cluster.podsReason}` : why;
}
