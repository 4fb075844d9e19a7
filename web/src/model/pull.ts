// State and progress of a pull as text and shares. Pure functions that do not read the clock.

import { FAILURE_TITLES } from '../api/gen/failures';
import type { KubeletTimes, LayerStatus, PullStatus, WaitingOn } from '../api/gen/wire';
import { bytes, count, duration, parseInstant, seconds } from './format';
import { shortDigest } from './image';

/** One word for the state of a pull, including problems. */
export type PullState =
  | 'queued'
  | 'resolving'
  | 'downloading'
  | 'extracting'
  | 'waiting'
  | 'stalled'
  | 'unseen'
  | 'completed'
  | 'failed'
  | 'cancelled'
  | 'unknown'
  | 'other';

const LIVE = new Set(['queued', 'resolving', 'downloading', 'extracting']);
const ENDED = new Set(['completed', 'failed', 'cancelled', 'unknown']);

export function isLive(pull: Pick<PullStatus, 'phase' | 'outcome' | 'completedAt'>): boolean {
  return pull.outcome === undefined && pull.completedAt === undefined && !ENDED.has(pull.phase);
}

/** Returns whether the state of a live pull is up to date. */
export function isFresh(pull: Pick<PullStatus, 'staleSince'>): boolean {
  return pull.staleSince === undefined;
}

/** Most urgent first. Phases unknown to this version are `other`. */
export function pullState(pull: PullStatus): PullState {
  if (!isLive(pull)) {
    const word = pull.outcome ?? pull.phase;
    return ENDED.has(word) ? (word as PullState) : 'other';
  }
  if (!isFresh(pull)) return 'unseen';
  if (pull.stalledSince !== undefined) return 'stalled';
  const notStarted = pull.phase === 'queued' || pull.phase === 'resolving';
  if (pull.waitingOn !== undefined && !notStarted) return 'waiting';
  return LIVE.has(pull.phase) ? (pull.phase as PullState) : 'other';
}

/** Progress of both stages, 0 to 1; undefined if unknown. */
export interface Shares {
  downloaded: number | undefined;
  extracted: number | undefined;
}

const share = (part: number | undefined, total: number | undefined): number | undefined =>
  part === undefined || total === undefined
    ? undefined
    : total <= 0
      ? 1
      : Math.min(1, Math.max(0, part / total));

/** Cached and remote layers count in neither stage. */
const isNeeded = (layer: LayerStatus): boolean => layer.state !== 'cached' && layer.state !== 'remote';

export function shares(pull: PullStatus): Shares {
  const toExtract =
    pull.toExtractBytes ??
    (pull.layers?.length
      ? pull.layers.reduce((sum, layer) => sum + (isNeeded(layer) ? layer.totalBytes : 0), 0)
      : pull.toDownloadBytes);
  return {
    downloaded: share(pull.downloadedBytes, pull.toDownloadBytes),
    extracted: share(pull.extractedBytes, toExtract),
  };
}

export function layerShares(layer: LayerStatus): Shares {
  return {
    downloaded: layer.state === 'complete' ? 1 : share(layer.downloadedBytes, layer.totalBytes),
    extracted: layer.state === 'complete' ? 1 : 0,
  };
}

/** Describes a wait. `blockingPull` is the name of the pull waited for, if known. */
export function waitingText(on: WaitingOn, blockingPull?: string): string {
  switch (on.kind) {
    case 'download_slot':
      return 'waiting for a download slot';
    case 'registry':
      return 'waiting for the registry';
    case 'parent_layer':
      return 'waiting for the parent layer';
    case 'shared_layer': {
      const layer = on.layer ? `layer ${shortDigest(on.layer)}` : 'a layer';
      return `waiting for ${layer} of ${blockingPull ?? 'another pull'}`;
    }
    case 'kubelet_queue':
      return blockingPull === undefined ? 'in the kubelet queue' : `queued behind ${blockingPull}`;
    default:
      return `waiting for ${String(on.kind).replaceAll('_', ' ')}`;
  }
}

/** A remark about a live pull. `{ago}` in the text is replaced by the time since `since`. */
export interface PullNote {
  kind: 'unseen' | 'stalled' | 'slow' | 'waiting';
  text: string;
  since: number | undefined;
}

/** Most urgent first. Queueing is shown elsewhere, with a link to the pull ahead. */
export function pullNotes(pull: PullStatus, blockingPull?: string): PullNote[] {
  if (!isLive(pull)) return [];
  const found: PullNote[] = [];
  if (!isFresh(pull)) {
    // All other remarks would be outdated.
    return [
      { kind: 'unseen', text: 'no report from the node for {ago}', since: parseInstant(pull.staleSince) },
    ];
  }
  if (pull.stalledSince !== undefined) {
    const text = pull.phase === 'extracting' ? 'no unpack progress for {ago}' : 'no data for {ago}';
    found.push({ kind: 'stalled', text, since: parseInstant(pull.stalledSince) });
  }
  if (pull.slow) {
    found.push({ kind: 'slow', text: 'far below the usual speed of this registry', since: undefined });
  }
  if (pull.waitingOn !== undefined && pull.waitingOn.kind !== 'kubelet_queue') {
    found.push({
      kind: 'waiting',
      text: `${waitingText(pull.waitingOn, blockingPull)} ({ago})`,
      since: parseInstant(pull.waitingOn.since),
    });
  }
  return found;
}

/** Fills in the age of a note. */
export function noteText(note: PullNote, now: number): string {
  const ago = note.since === undefined ? undefined : seconds(Math.max(0, now - note.since) / 1000);
  return ago === undefined ? note.text.replace(/ (for )?\(?\{ago\}\)?/, '') : note.text.replace('{ago}', ago);
}

/** The title of the failure reason. */
export function failureTitle(pull: Pick<PullStatus, 'failure'>): string | undefined {
  const word = pull.failure?.reason;
  return word === undefined ? undefined : (FAILURE_TITLES[word] ?? word.replaceAll('_', ' '));
}

/** Title and message of the failure. */
export function failureText(pull: PullStatus): string | undefined {
  const title = failureTitle(pull);
  if (title === undefined) return pull.error;
  const message = pull.failure?.message;
  return message ? `${title}: ${message}` : title;
}

/** `3rd attempt`; undefined for the first. */
export function attemptText(pull: Pick<PullStatus, 'attempt'>): string | undefined {
  const { attempt: n } = pull;
  if (n === undefined || !(n > 1)) return undefined;
  const suffix = n % 100 > 10 && n % 100 < 14 ? 'th' : (['th', 'st', 'nd', 'rd'][n % 10] ?? 'th');
  return `${n}${suffix} attempt`;
}

/** Time until the next retry. The kubelet retries at the sync that follows. */
export function retryText(at: number, now: number): string {
  const left = (at - now) / 1000;
  // A minute after the due time the next retry is unknown.
  if (left < -60) return '';
  return left < 1 ? 'retrying' : `retry in ${seconds(left)}`;
}

/** Durations measured by the kubelet: `5.2 s (7.1 s with queueing)`. */
export function kubeletDuration({ pullSeconds, withWaitingSeconds }: KubeletTimes): string {
  const queueing = withWaitingSeconds === undefined ? '' : ` (${duration(withWaitingSeconds)} with queueing)`;
  return duration(pullSeconds) + queueing;
}

/** Duration in seconds; undefined if only the end was observed. */
export function pullDuration(pull: PullStatus): number | undefined {
  const start = parseInstant(pull.startedAt);
  const end = parseInstant(pull.completedAt);
  return start === undefined || end === undefined || end <= start ? undefined : (end - start) / 1000;
}

/** `72.4 MiB in 7 layers, 12.0 MiB cached`. */
export function sizeText(pull: PullStatus): string | undefined {
  if (pull.totalBytes === undefined) return undefined;
  const layers = pull.layerCount === undefined ? '' : ` in ${count(pull.layerCount, 'layer')}`;
  const cached = !pull.cachedBytes
    ? ''
    : pull.toDownloadBytes === 0
      ? ', all cached'
      : `, ${bytes(pull.cachedBytes)} cached`;
  return `${bytes(pull.totalBytes)}${layers}${cached}`;
}
