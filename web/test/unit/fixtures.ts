// Wire objects with defaults for everything that a test does not care about.

import type { Frame, LayerStatus, NodeStatus, PullMotion, PullStatus } from '../../src/api/gen/wire';

export const T0 = '2026-11-24T20:00:00Z';
export const at = (seconds: number): string => new Date(Date.parse(T0) + seconds * 1000).toISOString();

// Row numbers by id.
const numbers = new Map<string, number>();
const number = (id: string): number => {
  const found = numbers.get(id) ?? numbers.size + 1;
  numbers.set(id, found);
  return found;
};

export const pull = (id: string, more: Partial<PullStatus> = {}): PullStatus => ({
  id,
  row: number(id),
  nodeName: 'n1',
  imageRef: `registry.example/team/${id}:1.0`,
  phase: 'downloading',
  totalKnown: true,
  totalBytes: 1000,
  toDownloadBytes: 1000,
  downloadedBytes: 0,
  startedAt: T0,
  ...more,
});

export const ended = (id: string, more: Partial<PullStatus> = {}): PullStatus =>
  pull(id, { phase: 'completed', outcome: 'completed', percent: 100, completedAt: at(5), ...more });

export const layer = (seed: string, more: Partial<LayerStatus> = {}): LayerStatus => ({
  digest: `sha256:${seed.repeat(64).slice(0, 64)}`,
  state: 'downloading',
  totalBytes: 1000,
  ...more,
});

export const node = (name: string, more: Partial<NodeStatus> = {}): NodeStatus => ({
  name,
  state: 'live',
  lastReportAt: T0,
  live: 0,
  ended: 0,
  toDownloadBytes: 0,
  downloadedBytes: 0,
  ...more,
});

/** A motion; omitted fields are unknown. */
export const motion = (
  id: string,
  more: Partial<Pick<PullStatus, 'percent' | 'downloadedBytes'>> = {},
): PullMotion => {
  const { percent = null, downloadedBytes = null } = more;
  return [number(id), percent, downloadedBytes, null, null, null, null, null, null, []];
};

export const frame = (seq: number, more: Partial<Frame> = {}): string =>
  JSON.stringify({ seq, now: at(seq), ...more });
