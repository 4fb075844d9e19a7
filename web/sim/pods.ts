// A pod as the server would tell it, at a moment: its images in order, and in one sentence.

import type { PodImage, PodStatus, PullStatus } from '../src/api/gen/wire';
import { imageOf } from './catalogue';
import type { NodeRecord, PullRecord } from './node';
import type { PodPlan, SlotPlan } from './plan';
import { type Clock, idAt } from './row';

/** How long a pod of which all images are there is still shown. */
const READY_FOR = 60;

const round = (value: number): number => Math.round(value * 10) / 10;

/** The pod at `t`; undefined where it is not known, or waits for nothing any more. */
export function podAt(
  pod: PodPlan,
  record: NodeRecord,
  t: number,
  clock: Clock,
  rows: ReadonlyMap<string, PullStatus>,
): PodStatus | undefined {
  if (pod.at > t) return undefined;
  const images = pod.slots.map((slot) => imageAt(pod, slot, record, t, clock, rows));
  const open = images.filter(({ state }) => state !== 'present');
  const here = pod.slots.map((slot) => hereAt(pod, slot, record));
  if (open.length === 0) {
    const pulled = here.filter((at) => at > pod.at);
    const last = Math.max(...pulled);
    if (pulled.length === 0 || t - last > READY_FOR) return undefined;
  }
  const known = open.every(({ etaSeconds }) => etaSeconds !== undefined);
  const least = round(open.reduce((sum, { etaSeconds }) => sum + (etaSeconds ?? 0), 0));
  const moving = open.some(({ pull }) => {
    const row = rows.get(pull ?? '');
    const behind = rows.get(row?.waitingOn?.pull ?? '');
    return (row && moves(row)) || (behind && moves(behind));
  });
  return {
    namespace: pod.namespace,
    podName: pod.name,
    uid: pod.uid,
    nodeName: pod.node,
    ready: open.length === 0,
    moving,
    summary: summary(images, rows, known ? least : undefined),
    ...(open.length > 0 && known ? { etaSeconds: least } : {}),
    ...(open.length > 0 && least > 0 ? { etaLowSeconds: round(least * 0.9) } : {}),
    images,
  };
}

const moves = (row: PullStatus): boolean =>
  !row.outcome &&
  !row.stalledSince &&
  !row.staleSince &&
  row.waitingOn?.kind !== 'registry' &&
  row.phase !== 'queued';

/** The pull that the pod's slot waits for, or last waited for. */
const pullOf = (pod: PodPlan, slot: SlotPlan, record: NodeRecord, t: number): PullRecord | undefined =>
  record.pulls.findLast(
    (pull) =>
      pull.askedAt <= t &&
      pull.waiters.some((each) => each.pod === pod && each.slot === slot && each.since <= t),
  );

/** Since when the slot's image is there for the pod. */
function hereAt(pod: PodPlan, slot: SlotPlan, record: NodeRecord): number {
  const own = record.pulls.find(
    (pull) =>
      pull.outcome === 'completed' && pull.waiters.some((each) => each.pod === pod && each.slot === slot),
  );
  return own?.endedAt ?? record.present.get(slot.image) ?? Number.POSITIVE_INFINITY;
}

function imageAt(
  pod: PodPlan,
  slot: SlotPlan,
  record: NodeRecord,
  t: number,
  clock: Clock,
  rows: ReadonlyMap<string, PullStatus>,
): PodImage {
  const pull = pullOf(pod, slot, record, t);
  const base = {
    container: slot.container,
    kind: slot.kind,
    image: slot.image,
    ...(pull ? { pull: idAt(pull, t, clock), attempt: pull.attempt } : {}),
  };
  if (hereAt(pod, slot, record) <= t) return { ...base, state: 'present' };
  const waitingReason =
    slot.kind === 'container' && pod.slots.some(({ kind }) => kind === 'init')
      ? 'PodInitializing'
      : 'ContainerCreating';
  const after = alone(slot, record);
  if (!pull) return { ...base, state: 'pending', waitingReason, etaSeconds: after };
  const row = rows.get(base.pull ?? '');
  const before = row?.waitingOn?.etaSeconds;
  const seconds = row?.etaSeconds ?? (before === undefined ? undefined : round(before + after));
  const left = seconds === undefined ? {} : { etaSeconds: seconds };
  if (row?.outcome === 'failed' && row.failure) {
    return { ...base, state: 'failed', waitingReason: 'ImagePullBackOff', failure: row.failure };
  }
  return { ...base, state: row?.phase === 'queued' ? 'queued' : 'pulling', waitingReason, ...left };
}

/** How long an image takes of which only the size is known, from other nodes. */
function alone(slot: SlotPlan, record: NodeRecord): number {
  const bytes = imageOf(slot.image).layers.reduce((sum, { size }) => sum + size, 0);
  return round(bytes / record.plan.bandwidth);
}

const NEAREST = ['pending', 'queued', 'pulling'];

function summary(
  images: readonly PodImage[],
  rows: ReadonlyMap<string, PullStatus>,
  left: number | undefined,
): string {
  const count = (n: number): string => (n === 1 ? '1 image' : `${n} images`);
  const open = images.filter(({ state }) => state !== 'present');
  const nearest =
    open.find(({ state }) => state === 'failed') ??
    open.toSorted((a, b) => NEAREST.indexOf(b.state) - NEAREST.indexOf(a.state))[0];
  if (!nearest)
    return images.length === 1 ? 'its image is here' : `all of its ${images.length} images are here`;
  const of =
    open.length === images.length ? count(images.length) : `${open.length} of ${count(images.length)}`;
  const rest = left === undefined ? '' : `; about ${Math.max(1, Math.floor(left))} s left`;
  return `waits for ${of}: ${nearest.image} ${standing(nearest, rows.get(nearest.pull ?? ''))}${rest}`;
}

function standing(image: PodImage, row: PullStatus | undefined): string {
  if (image.state === 'failed') {
    const tries = (image.attempt ?? 1) > 1 ? `, ${image.attempt} tries` : '';
    return `cannot be pulled: ${image.failure?.reason ?? 'unexplained'}${tries}`;
  }
  if (image.state === 'pending') return 'is not asked for yet';
  if (image.state === 'queued') {
    const ahead = row?.waitingOn?.ahead ?? 0;
    return ahead === 0 ? 'is queued' : `is queued behind ${ahead === 1 ? '1 pull' : `${ahead} pulls`}`;
  }
  if (!row) return 'is being pulled';
  const percent = row.percent === undefined ? '' : `, ${Math.floor(row.percent)} %`;
  const trouble = row.staleSince ? ' (its node is silent)' : row.stalledSince ? ' (stalled)' : '';
  return `is ${row.phase}${percent}${trouble}`;
}
