// What a layer is doing, and what became of it, in words.

import type { LayerStatus, PullStatus } from '../api/gen/wire';
import { duration, type Format, instant, percent } from './format';
import { shortDigest } from './image';
import { isLive, isSeen, layerShares } from './pull';
import { visible } from './text';

export interface Said {
  /** `35 %`, where it is known. */
  strong?: string;
  text: string;
}

const WAITS: Record<string, string> = {
  download_slot: 'waits for a slot',
  shared_layer: 'by another pull',
  parent_layer: 'waits for its parent',
  registry: 'waits for the registry',
  kubelet_queue: 'queued',
};

const between = (from: string | undefined, to: string | undefined): number | undefined => {
  const [a, b] = [instant(from), instant(to)];
  return a === undefined || b === undefined || b < a ? undefined : (b - a) / 1000;
};

/** What stands beside its bar. */
export function said(pull: PullStatus, layer: LayerStatus, format: Format): Said {
  const live = isLive(pull);
  const here = layer.totalBytes > 0 ? layerShares(layer).downloaded : undefined;
  // It is `100 %` when it is done, and not before.
  const share = here === undefined ? undefined : percent(Math.min(99, here * 100));
  switch (layer.state) {
    case 'cached':
      return { text: 'on node' };
    case 'remote':
      return { text: 'served remotely' };
    case 'complete': {
      const took = between(layer.startedAt ?? layer.extractingAt, layer.completedAt);
      return { text: took === undefined ? 'done' : `done in ${took < 0.1 ? '< 0.1 s' : duration(took)}` };
    }
    case 'downloading': {
      if (!live) return { text: share === undefined ? 'not all of it came' : `${share} of it came` };
      const speed = isSeen(pull) && layer.bytesPerSec !== undefined ? format.speed(layer.bytesPerSec) : '';
      return { ...(share === undefined ? {} : { strong: share }), text: speed || 'downloading' };
    }
    case 'downloaded':
      return { text: live ? (WAITS[layer.waitingOn?.kind ?? ''] ?? 'downloaded') : 'downloaded' };
    case 'extracting': {
      if (!live) return { text: 'not unpacked' };
      const written = layer.unpackedBytes;
      return { text: written ? `extracting · ${format.bytes(written)}` : 'extracting' };
    }
    case 'waiting': {
      if (!live) return { text: 'never began' };
      const text = WAITS[layer.waitingOn?.kind ?? ''] ?? 'waiting';
      const shared = layer.waitingOn?.kind === 'shared_layer' && here;
      return { ...(shared && share ? { strong: share } : {}), text };
    }
    default:
      return { text: String(layer.state).replaceAll('_', ' ') };
  }
}

/** The step that made it, without what every builder writes before it; its digest where nobody says. */
export function stepOf(layer: LayerStatus): string {
  const step = layer.createdBy
    ?.replace(/^\/bin\/sh -c #\(nop\)\s*/, '')
    .replace(/^\/bin\/sh -c /, 'RUN ')
    .replace(/\s*# buildkit$/, '')
    .trim();
  return visible(step || shortDigest(layer.digest));
}

/** All of it in one sentence, for whoever does not see the bars. */
export function sentence(pull: PullStatus, layer: LayerStatus, setsEta: boolean, format: Format): string {
  const parts: string[] = [];
  const waited = between(pull.downloadingAt, layer.startedAt);
  if (waited !== undefined && waited >= 0.1) parts.push(`waited ${duration(waited)}`);
  const came = between(layer.startedAt, layer.downloadedAt);
  if (came !== undefined) parts.push(`downloaded in ${duration(came)}`);
  const below = between(layer.downloadedAt, layer.extractingAt);
  if (below !== undefined && below >= 0.1) parts.push(`waited ${duration(below)} for the layer below`);
  const unpacked = between(layer.extractingAt, layer.completedAt);
  if (unpacked !== undefined) parts.push(`unpacked in ${duration(unpacked)}`);
  const { strong, text } = said(pull, layer, format);
  if (layer.state !== 'complete' || parts.length === 0) parts.push([strong, text].filter(Boolean).join(', '));
  if (setsEta) parts.push('the pull waits for it');
  return parts.join('; ');
}
