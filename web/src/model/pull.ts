// What a pull says, in words and shares. Nothing here draws, and nothing reads a clock.

import type { KubeletTimes, LayerStatus, PullStatus, WaitingOn } from '../api/gen/wire';
import { bytes, count, duration, instant, seconds } from './format';
import { shortDigest } from './image';

/** What a pull is doing, as one word that also says if it is in trouble. */
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

/** Whether what is said of a live pull is of now. */
export function isSeen(pull: Pick<PullStatus, 'staleSince'>): boolean {
  return pull.staleSince === undefined;
}

/** In the order of what presses most. A word that this page does not know is `other`. */
export function pullState(pull: PullStatus): PullState {
  if (!isLive(pull)) {
    const word = pull.outcome ?? pull.phase;
    return ENDED.has(word) ? (word as PullState) : 'other';
  }
  if (!isSeen(pull)) return 'unseen';
  if (pull.stalledSince !== undefined) return 'stalled';
  const still = pull.phase === 'queued' || pull.phase === 'resolving';
  if (pull.waitingOn !== undefined && !still) return 'waiting';
  return LIVE.has(pull.phase) ? (pull.phase as PullState) : 'other';
}

/** How much of two stages is done, 0 to 1 each; undefined where it is not known. */
export interface Shares {
  downloaded: number | undefined;
  extracted: number | undefined;
}

const share = (part: number | undefined, whole: number | undefined): number | undefined =>
  part === undefined || whole === undefined
    ? undefined
    : whole <= 0
      ? 1
      : Math.min(1, Math.max(0, part / whole));

/** Layers that lie unpacked on the node, or never need to, are in neither stage. */
const needed = (layer: LayerStatus): boolean => layer.state !== 'cached' && layer.state !== 'remote';

export function shares(pull: PullStatus): Shares {
  const toExtract =
    pull.toExtractBytes ??
    (pull.layers?.length
      ? pull.layers.reduce((sum, layer) => sum + (needed(layer) ? layer.totalBytes : 0), 0)
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

/** What is waited for. `title` names the other pull, where one must get on first. */
export function waiting(on: WaitingOn, title?: string): string {
  switch (on.kind) {
    case 'download_slot':
      return 'waiting for a download slot';
    case 'registry':
      return 'waiting for the registry';
    case 'parent_layer':
      return 'waiting for the layer below';
    case 'shared_layer': {
      const layer = on.layer ? `layer ${shortDigest(on.layer)}` : 'a layer';
      return `waiting for ${layer} of ${title ?? 'another pull'}`;
    }
    case 'kubelet_queue':
      return title === undefined ? 'queued by the kubelet' : `queued behind ${title}`;
    default:
      return `waiting for ${String(on.kind).replaceAll('_', ' ')}`;
  }
}

/** Something to be said of a live pull beside its numbers. `{ago}` in the text stands for the time since `since`. */
export interface Note {
  kind: 'unseen' | 'stalled' | 'slow' | 'waiting';
  text: string;
  since: number | undefined;
}

/** Most pressing first. What a queue says is drawn beside it: it leads to another row. */
export function notes(pull: PullStatus, title?: string): Note[] {
  if (!isLive(pull)) return [];
  const found: Note[] = [];
  if (!isSeen(pull)) {
    // The rest is of the past.
    return [{ kind: 'unseen', text: 'not seen for {ago}', since: instant(pull.staleSince) }];
  }
  if (pull.stalledSince !== undefined) {
    const text =
      pull.phase === 'extracting' ? 'unpacking has not got on for {ago}' : 'no byte has come for {ago}';
    found.push({ kind: 'stalled', text, since: instant(pull.stalledSince) });
  }
  if (pull.slow) {
    found.push({ kind: 'slow', text: 'far slower than usual from this registry', since: undefined });
  }
  if (pull.waitingOn !== undefined && pull.waitingOn.kind !== 'kubelet_queue') {
    found.push({
      kind: 'waiting',
      text: `${waiting(pull.waitingOn, title)} ({ago})`,
      since: instant(pull.waitingOn.since),
    });
  }
  return found;
}

/** The note as it reads at `now`. */
export function noteText(note: Note, now: number): string {
  const ago = note.since === undefined ? undefined : seconds(Math.max(0, now - note.since) / 1000);
  return ago === undefined ? note.text.replace(/ (for )?\(?\{ago\}\)?/, '') : note.text.replace('{ago}', ago);
}

/** The words that the terminal has too. */
const REASONS: Record<string, string> = {
  not_found: 'the registry does not have it',
  unauthorized: 'the registry refused the credentials',
  rate_limited: 'the registry limits how often may be pulled',
  kubelet_qps: 'the kubelet itself holds pulls back',
  registry_error: 'the registry has a fault',
  dns: 'the name of the registry has no address',
  connection_refused: 'nothing answers at the address of the registry',
  timeout: 'no answer in time',
  tls: 'no safe connection to the registry',
  proxy: 'the proxy does not let it through',
  no_space: 'no space left on the node',
  no_matching_platform: 'the image is not built for this platform',
  digest_mismatch: 'what came is not what was asked for',
  signature: 'the signature of the image was refused',
  invalid_name: 'the name of the image is none',
  never_pull: 'it is not on the node, and may not be pulled',
  progress_timeout: 'no byte came for too long',
  runtime_restarted: 'the runtime was restarted',
  cancelled: 'it was called off',
  unexplained: 'the runtime does not say why',
  other: 'it failed',
};

/** Why it failed, in words. */
export function why(pull: Pick<PullStatus, 'failure'>): string | undefined {
  const word = pull.failure?.reason;
  return word === undefined ? undefined : (REASONS[word] ?? word.replaceAll('_', ' '));
}

/** Why it failed, as one sentence without a dot. */
export function reason(pull: PullStatus): string | undefined {
  const words = why(pull);
  if (words === undefined) return pull.error;
  const message = pull.failure?.message;
  return message ? `${words}: ${message}` : words;
}

/** `3rd try`; nothing of a first. */
export function attempt(pull: Pick<PullStatus, 'attempt'>): string | undefined {
  const { attempt: n } = pull;
  if (n === undefined || !(n > 1)) return undefined;
  const ending = n % 100 > 10 && n % 100 < 14 ? 'th' : (['th', 'st', 'nd', 'rd'][n % 10] ?? 'th');
  return `${n}${ending} try`;
}

/** When the kubelet tries again, in words: it does so at the sync that follows. */
export function retry(at: number, now: number): string {
  const left = (at - now) / 1000;
  // A minute after it was due nobody knows what the kubelet waits for.
  if (left < -60) return '';
  return left < 1 ? 'again any moment' : `again in ${seconds(left)}`;
}

/** The kubelet's own number: `5.2 s, 7.1 s with waiting`. */
export function kubelet({ pullSeconds, withWaitingSeconds }: KubeletTimes): string {
  const whole = withWaitingSeconds === undefined ? '' : `, ${duration(withWaitingSeconds)} with waiting`;
  return duration(pullSeconds) + whole;
}

/** From its start to its end in seconds; undefined where only its end was seen. */
export function took(pull: PullStatus): number | undefined {
  const start = instant(pull.startedAt);
  const end = instant(pull.completedAt);
  return start === undefined || end === undefined || end <= start ? undefined : (end - start) / 1000;
}

/** `72.4 MiB in 7 layers, 12.0 MiB of them cached`. */
export function size(pull: PullStatus): string | undefined {
  if (pull.totalBytes === undefined) return undefined;
  const layers = pull.layerCount === undefined ? '' : ` in ${count(pull.layerCount, 'layer')}`;
  const cached = !pull.cachedBytes
    ? ''
    : pull.toDownloadBytes === 0
      ? ', all cached'
      : `, ${bytes(pull.cachedBytes)} of them cached`;
  return `${bytes(pull.totalBytes)}${layers}${cached}`;
}
