// Layer states and build steps as text.

import type { LayerStatus, PullStatus } from '../api/gen/wire';
import { duration, type Format, parseInstant, percent } from './format';
import { shortDigest } from './image';
import { isFresh, isLive, layerShares } from './pull';
import { escapeHidden } from './text';

export interface LayerLabel {
  /** Progress such as `35 %`, shown in bold; absent if unknown. */
  emphasis?: string;
  text: string;
}

const WAIT_TEXTS: Record<string, string> = {
  download_slot: 'waiting for a slot',
  shared_layer: 'from another pull',
  parent_layer: 'waiting for parent',
  registry: 'waiting for registry',
  kubelet_queue: 'queued',
};

const secondsBetween = (from: string | undefined, to: string | undefined): number | undefined => {
  const [a, b] = [parseInstant(from), parseInstant(to)];
  return a === undefined || b === undefined || b < a ? undefined : (b - a) / 1000;
};

/** The label next to the layer's bar. */
export function layerLabel(pull: PullStatus, layer: LayerStatus, format: Format): LayerLabel {
  const live = isLive(pull);
  const downloaded = layer.totalBytes > 0 ? layerShares(layer).downloaded : undefined;
  // Never round up to `100 %` before the layer is complete.
  const share = downloaded === undefined ? undefined : percent(Math.min(99, downloaded * 100));
  switch (layer.state) {
    case 'cached':
      return { text: 'on node' };
    case 'remote':
      return { text: 'mounted remotely' };
    case 'complete': {
      const seconds = secondsBetween(layer.startedAt ?? layer.extractingAt, layer.completedAt);
      return {
        text: seconds === undefined ? 'done' : `done in ${seconds < 0.1 ? '< 0.1 s' : duration(seconds)}`,
      };
    }
    case 'downloading': {
      if (!live) return { text: share === undefined ? 'incomplete' : `${share} downloaded` };
      const speed = isFresh(pull) && layer.bytesPerSec !== undefined ? format.speed(layer.bytesPerSec) : '';
      return { ...(share === undefined ? {} : { emphasis: share }), text: speed || 'downloading' };
    }
    case 'downloaded':
      return { text: live ? (WAIT_TEXTS[layer.waitingOn?.kind ?? ''] ?? 'downloaded') : 'downloaded' };
    case 'extracting': {
      if (!live) return { text: 'not extracted' };
      const written = layer.unpackedBytes;
      return { text: written ? `extracting · ${format.bytes(written)}` : 'extracting' };
    }
    case 'waiting': {
      if (!live) return { text: 'not started' };
      const text = WAIT_TEXTS[layer.waitingOn?.kind ?? ''] ?? 'waiting';
      const shared = layer.waitingOn?.kind === 'shared_layer' && downloaded;
      return { ...(shared && share ? { emphasis: share } : {}), text };
    }
    default:
      return { text: String(layer.state).replaceAll('_', ' ') };
  }
}

/**
 * Returns the build step that created the layer, without the prefixes and comments that builders
 * add, or the layer's digest if the step is unknown.
 */
export function buildStep(layer: LayerStatus): string {
  const step = layer.createdBy
    ?.replace(/^\/bin\/sh -c #\(nop\)\s*/, '')
    .replace(/^\/bin\/sh -c /, 'RUN ')
    .replace(/\s*# buildkit$/, '')
    .trim();
  return escapeHidden(step || shortDigest(layer.digest));
}

/** Describes the layer's bar for screen readers. */
export function describeLayer(
  pull: PullStatus,
  layer: LayerStatus,
  isCritical: boolean,
  format: Format,
): string {
  const parts: string[] = [];
  const waited = secondsBetween(pull.downloadingAt, layer.startedAt);
  if (waited !== undefined && waited >= 0.1) parts.push(`waited ${duration(waited)}`);
  const download = secondsBetween(layer.startedAt, layer.downloadedAt);
  if (download !== undefined) parts.push(`downloaded in ${duration(download)}`);
  const parentWait = secondsBetween(layer.downloadedAt, layer.extractingAt);
  if (parentWait !== undefined && parentWait >= 0.1)
    parts.push(`waited ${duration(parentWait)} for the parent layer`);
  const unpacked = secondsBetween(layer.extractingAt, layer.completedAt);
  if (unpacked !== undefined) parts.push(`extracted in ${duration(unpacked)}`);
  const { emphasis, text } = layerLabel(pull, layer, format);
  if (layer.state !== 'complete' || parts.length === 0)
    parts.push([emphasis, text].filter(Boolean).join(', '));
  if (isCritical) parts.push('determines the ETA');
  return parts.join('; ');
}
