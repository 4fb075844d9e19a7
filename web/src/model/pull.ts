// What a pull says, in words and shares. Nothing here draws, and nothing reads a clock.

import type { LayerStatus, PullStatus, WaitingOn } from '../api/gen/wire';
import { bytes, count, instant, seconds } from './format';
import { shortDigest } from './image';

/** What a pull is doing, as one word that also says if it is in trouble. */
export type PullState =
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

const LIVE = new Set(['resolving', 'downloading', 'extracting']);
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
  if (pull.waitingOn !== undefined && pull.phase !== 'resolving') return 'waiting';
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
  const toExtract = pull.layers?.length
    ? pull.layers.reduce((sum, layer) => sum + (needed(layer) ? layer.totalBytes : 0), 0)
    : pull.toDownloadBytes;
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

/** Most pressing first. */
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
  if (pull.waitingOn !== undefined) {
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

const REASONS: Record<string, string> = {
  unexplained: 'the runtime does not say why',
  runtime_restarted: 'the runtime was restarted',
  rate_limited: 'the registry limits how often may be pulled',
  not_found: 'the registry does not have it',
  unauthorized: 'the registry refused the credentials',
  no_space: 'no space left on the node',
  no_matching_platform: 'the image is not built for this platform',
  digest_mismatch: 'what came is not what was asked for',
};

/** Why it failed, as one sentence without a dot. */
export function reason(pull: PullStatus): string | undefined {
  if (pull.failure === undefined) return pull.error;
  const { reason: word, message } = pull.failure;
  const words = REASONS[word] ?? word.replaceAll('_', ' ');
  return message ? `${words}: ${message}` : words;
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
