// Pod status as the server reports it at a given time.

import type { PodImage, PodStatus, PullStatus } from '../src/api/gen/wire';
import { imageByRef } from './catalogue';
import type { NodeRecord, PullRecord } from './node';
import type { ConsumerPlan, PodPlan } from './plan';
import { type Clock, idAt } from './row';

/** Time that a pod with all images stays visible. */
const READY_SHOWN_SECONDS = 60;

const round = (value: number): number => Math.round(value * 10) / 10;

/** The pod at `t`; undefined if it is unknown or no longer waits for images. */
export function podAt(
  pod: PodPlan,
  record: NodeRecord,
  t: number,
  clock: Clock,
  rows: ReadonlyMap<string, PullStatus>,
): PodStatus | undefined {
  if (pod.scheduledAt > t) return undefined;
  const images = pod.consumers.map((consumer) => imageAt(pod, consumer, record, t, clock, rows));
  const open = images.filter(({ state }) => state !== 'present');
  const presentTimes = pod.consumers.map((consumer) => presentAt(pod, consumer, record));
  if (open.length === 0) {
    const pulled = presentTimes.filter((at) => at > pod.scheduledAt);
    const last = Math.max(...pulled);
    if (pulled.length === 0 || t - last > READY_SHOWN_SECONDS) return undefined;
  }
  const etaKnown = open.every(({ etaSeconds }) => etaSeconds !== undefined);
  const minEta = round(open.reduce((sum, { etaSeconds }) => sum + (etaSeconds ?? 0), 0));
  const moving = open.some(({ pull }) => {
    const row = rows.get(pull ?? '');
    const behind = rows.get(row?.waitingOn?.pull ?? '');
    return (row && isMoving(row)) || (behind && isMoving(behind));
  });
  return {
    namespace: pod.namespace,
    podName: pod.name,
    uid: pod.uid,
    nodeName: pod.node,
    ready: open.length === 0,
    moving,
    summary: summary(images, rows, etaKnown ? minEta : undefined),
    ...(open.length > 0 && etaKnown ? { etaSeconds: minEta } : {}),
    ...(open.length > 0 && minEta > 0 ? { etaLowSeconds: round(minEta * 0.9) } : {}),
    images,
  };
}

const isMoving = (row: PullStatus): boolean =>
  !row.outcome &&
  !row.stalledSince &&
  !row.staleSince &&
  row.waitingOn?.kind !== 'registry' &&
  row.phase !== 'queued';

/** The last pull that the consumer waited for. */
const latestPull = (
  pod: PodPlan,
  consumer: ConsumerPlan,
  record: NodeRecord,
  t: number,
): PullRecord | undefined =>
  record.pulls.findLast(
    (pull) =>
      pull.requestedAt <= t &&
      pull.waiters.some((each) => each.pod === pod && each.consumer === consumer && each.since <= t),
  );

/** Time at which the image became present for the pod. */
function presentAt(pod: PodPlan, consumer: ConsumerPlan, record: NodeRecord): number {
  const ownPull = record.pulls.find(
    (pull) =>
      pull.outcome === 'completed' &&
      pull.waiters.some((each) => each.pod === pod && each.consumer === consumer),
  );
  return ownPull?.endedAt ?? record.present.get(consumer.image) ?? Number.POSITIVE_INFINITY;
}

function imageAt(
  pod: PodPlan,
  consumer: ConsumerPlan,
  record: NodeRecord,
  t: number,
  clock: Clock,
  rows: ReadonlyMap<string, PullStatus>,
): PodImage {
  const pull = latestPull(pod, consumer, record, t);
  const base = {
    container: consumer.container,
    kind: consumer.kind,
    image: consumer.image,
    ...(pull ? { pull: idAt(pull, t, clock), attempt: pull.attempt } : {}),
  };
  if (presentAt(pod, consumer, record) <= t) return { ...base, state: 'present' };
  const waitingReason =
    consumer.kind === 'container' && pod.consumers.some(({ kind }) => kind === 'init')
      ? 'PodInitializing'
      : 'ContainerCreating';
  const ownEta = estimateFromSize(consumer, record);
  if (!pull) return { ...base, state: 'pending', waitingReason, etaSeconds: ownEta };
  const row = rows.get(base.pull ?? '');
  const queueEta = row?.waitingOn?.etaSeconds;
  const seconds = row?.etaSeconds ?? (queueEta === undefined ? undefined : round(queueEta + ownEta));
  const left = seconds === undefined ? {} : { etaSeconds: seconds };
  if (row?.outcome === 'failed' && row.failure) {
    return { ...base, state: 'failed', waitingReason: 'ImagePullBackOff', failure: row.failure };
  }
  return { ...base, state: row?.phase === 'queued' ? 'queued' : 'pulling', waitingReason, ...left };
}

/** Estimated duration from the image size and the node's bandwidth. */
function estimateFromSize(consumer: ConsumerPlan, record: NodeRecord): number {
  const bytes = imageByRef(consumer.image).layers.reduce((sum, { size }) => sum + size, 0);
  return round(bytes / record.plan.bandwidth);
}

const FURTHEST_LAST = ['pending', 'queued', 'pulling'];

function summary(
  images: readonly PodImage[],
  rows: ReadonlyMap<string, PullStatus>,
  left: number | undefined,
): string {
  const count = (n: number): string => (n === 1 ? '1 image' : `${n} images`);
  const open = images.filter(({ state }) => state !== 'present');
  const nearest =
    open.find(({ state }) => state === 'failed') ??
    open.toSorted((a, b) => FURTHEST_LAST.indexOf(b.state) - FURTHEST_LAST.indexOf(a.state))[0];
  if (!nearest)
    return images.length === 1 ? 'its image is present' : `all ${images.length} images are present`;
  const amount =
    open.length === images.length ? count(images.length) : `${open.length} of ${count(images.length)}`;
  const rest = left === undefined ? '' : `; about ${Math.max(1, Math.floor(left))} s left`;
  return `waits for ${amount}: ${nearest.image} ${describeImage(nearest, rows.get(nearest.pull ?? ''))}${rest}`;
}

function describeImage(image: PodImage, row: PullStatus | undefined): string {
  if (image.state === 'failed') {
    const tries = (image.attempt ?? 1) > 1 ? `, ${image.attempt} attempts` : '';
    return `cannot be pulled: ${image.failure?.reason ?? 'unexplained'}${tries}`;
  }
  if (image.state === 'pending') return 'is not requested yet';
  if (image.state === 'queued') {
    const ahead = row?.waitingOn?.ahead ?? 0;
    return ahead === 0 ? 'is queued' : `is queued behind ${ahead === 1 ? '1 pull' : `${ahead} pulls`}`;
  }
  if (!row) return 'is being pulled';
  const percent = row.percent === undefined ? '' : `, ${Math.floor(row.percent)} %`;
  const trouble = row.staleSince ? ' (its node is not reporting)' : row.stalledSince ? ' (stalled)' : '';
  return `is ${row.phase}${percent}${trouble}`;
}
