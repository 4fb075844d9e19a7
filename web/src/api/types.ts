// The wire's types, version 1. All that the page knows of them comes through this file.

/** What a pull is doing, or how it ended. A newer server may say other words. */
export type Phase =
  | 'resolving'
  | 'downloading'
  | 'extracting'
  | 'completed'
  | 'failed'
  | 'cancelled'
  | 'unknown'
  | 'other';
export type Outcome = 'completed' | 'failed' | 'cancelled' | 'unknown' | 'other';
export type LayerState =
  | 'waiting'
  | 'downloading'
  | 'downloaded'
  | 'extracting'
  | 'complete'
  | 'cached'
  | 'remote'
  | 'other';
export type WaitingKind = 'download_slot' | 'shared_layer' | 'parent_layer' | 'registry' | 'other';
export type EtaBasis = 'learned' | 'assumed' | 'other';
export type NodeState = 'live' | 'lost' | 'conflict' | 'other';

export interface WaitingOn {
  kind: WaitingKind;
  since: string;
  pull?: string;
  layer?: string;
}

export interface Failure {
  reason: string;
  message?: string;
}

export interface LayerStatus {
  digest: string;
  mediaType?: string;
  createdBy?: string;
  state: LayerState;
  totalBytes: number;
  downloadedBytes?: number;
  blobCached?: boolean;
  unpackedBytes?: number;
  bytesPerSec?: number;
  waitingOn?: WaitingOn;
  startedAt?: string;
  downloadedAt?: string;
  extractingAt?: string;
  completedAt?: string;
}

export interface PullStatus {
  id: string;
  nodeName: string;
  imageRef?: string;
  repository?: string;
  rootDigest?: string;
  manifestDigest?: string;
  platform?: string;
  phase: Phase;
  outcome?: Outcome;
  failure?: Failure;
  error?: string;
  waitingOn?: WaitingOn;
  percent?: number;
  totalKnown: boolean;
  totalBytes?: number;
  cachedBytes?: number;
  toDownloadBytes?: number;
  downloadedBytes?: number;
  extractedBytes?: number;
  wastedBytes?: number;
  bytesPerSec?: number;
  etaSeconds?: number;
  etaLowSeconds?: number;
  etaHighSeconds?: number;
  etaBasis?: EtaBasis;
  startedAt: string;
  downloadingAt?: string;
  extractingAt?: string;
  completedAt?: string;
  stalledSince?: string;
  slow?: boolean;
  staleSince?: string;
  layerCount?: number;
  layersDone?: number;
  layers?: LayerStatus[];
}

export interface NodeStatus {
  name: string;
  state: NodeState;
  removed?: boolean;
  lastReportAt: string;
  agentVersion?: string;
  runtimeVersion?: string;
  clockOffsetMs?: number;
  live: number;
  ended: number;
  toDownloadBytes: number;
  downloadedBytes: number;
  bytesPerSec?: number;
}

/** `[index, downloadedBytes, unpackedBytes, bytesPerSec]` */
export type LayerMotion = [number, number | null, number | null, number | null];

export interface PullMotion {
  id: string;
  percent?: number;
  downloadedBytes?: number;
  extractedBytes?: number;
  bytesPerSec?: number;
  etaSeconds?: number;
  etaLowSeconds?: number;
  etaHighSeconds?: number;
  layers?: LayerMotion[];
}

export interface Frame {
  seq: number;
  now: string;
  rows?: PullStatus[];
  up?: PullMotion[];
  rm?: string[];
  nodes?: NodeStatus[];
}

export interface Problem {
  status: number;
  title: string;
  detail?: string;
  reason: string;
}
