// Load generator: any number of pulls and updates per second. Kept cheap, as it shares the
// processor with the browser under test.

import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Frame, NodeStatus, PullMotion, PullStatus } from '../src/api/gen/wire';
import { answer } from './answer';
import { imageByRef } from './catalogue';
import { formatEvent, sendAnswer } from './feed';
import { random, randomBetween, randomDigest } from './random';
import type { ApiSource } from './server';
import type { World } from './world';

export interface LoadOptions {
  pulls: number;
  updatesPerSecond: number;
}

const FRAME_MS = 250;
const NODES = 500;
/** Share of pulls that end per second; as many start. */
const TURNOVER = 0.001;
/** Time that ended pulls are kept. */
const ENDED_KEPT_MS = 10_000;
const LAYERS = 10;
const EPOCH = 'load';

const IMAGES = [
  'ghcr.io/acme/ml-inference:2.4.1',
  'nvcr.io/nvidia/pytorch:26.09-py3',
  'ghcr.io/acme/checkout:8f3c2d1',
  'ghcr.io/acme/payments-api:1.42.0',
  'ghcr.io/acme/search-indexer:0.31.2',
  'public.ecr.aws/acme/batch-worker:2026.11.23',
  'docker.io/grafana/grafana:12.2.1',
  'registry.k8s.io/ingress-nginx/controller:v1.13.4',
  'quay.io/cilium/cilium:v1.18.4',
  'docker.io/library/postgres:18.1',
].map(imageByRef);

const NAMESPACES = ['ml-serving', 'training', 'shop', 'payments', 'search', 'batch', 'monitoring', 'ingress'];

interface LivePull {
  row: number;
  startedAt: number;
  total: number;
  /** Average bytes per second. */
  speed: number;
  downloaded: number;
  movedAt: number;
}

const iso = (at: number): string => new Date(at).toISOString();
const nodeName = (row: number): string => `node-${String(row % NODES).padStart(3, '0')}`;

export class Load implements ApiSource {
  #options: LoadOptions;
  #live: LivePull[];
  #recentlyEnded: { row: number; status: PullStatus; until: number }[] = [];
  #lastRow = 0;
  #nextUpdate = 0;
  #turnover = 0;
  #seq = 1;
  #readers = new Set<ServerResponse>();
  #timer: NodeJS.Timeout | undefined;

  constructor(options: LoadOptions) {
    this.#options = options;
    const now = Date.now();
    this.#live = Array.from({ length: options.pulls }, () =>
      this.#startPull(now - 60_000 * random('age', this.#lastRow), now),
    );
  }

  start(): void {
    this.#timer = setInterval(() => this.#tick(), FRAME_MS);
  }

  stop(): void {
    clearInterval(this.#timer);
    for (const reader of this.#readers) reader.destroy();
  }

  #startPull(startedAt: number, now: number): LivePull {
    this.#lastRow += 1;
    const row = this.#lastRow;
    const total = Math.floor(randomBetween(2e8, 8e9, 'total', row));
    // Slow enough to last until it is replaced.
    const speed = (total * TURNOVER) / 2;
    return { row, startedAt, total, speed, downloaded: total * random('here', row) * 0.4, movedAt: now };
  }

  // --- updates ---

  #tick(): void {
    const now = Date.now();
    const { pulls, updatesPerSecond } = this.#options;
    const up: PullMotion[] = [];
    for (let i = 0; i < (updatesPerSecond * FRAME_MS) / 1000; i += 1) {
      const pull = this.#live[this.#nextUpdate % pulls] as LivePull;
      this.#nextUpdate += 1;
      up.push(this.#move(pull, now));
    }
    const rows: PullStatus[] = [];
    const rm: string[] = [];
    for (this.#turnover += (pulls * TURNOVER * FRAME_MS) / 1000; this.#turnover >= 1; this.#turnover -= 1) {
      const index = Math.floor(random('ends', this.#lastRow) * pulls);
      const ended = this.#endedStatus(this.#live[index] as LivePull, now);
      this.#recentlyEnded.push({ row: ended.row ?? 0, status: ended, until: now + ENDED_KEPT_MS });
      const started = this.#startPull(now, now);
      this.#live[index] = started;
      rows.push(ended, this.#status(started));
    }
    while ((this.#recentlyEnded[0]?.until ?? now) < now)
      rm.push(this.#recentlyEnded.shift()?.status.id ?? '');
    this.#seq += 1;
    const quarter = this.#seq % 4;
    const nodes = this.#nodes(now).filter((_, index) => index % 4 === quarter);
    const frame: Frame = { seq: this.#seq, now: iso(now), rows, up, rm, nodes };
    const text = formatEvent('frame', frame, `${EPOCH}-${this.#seq}`);
    for (const reader of this.#readers) reader.write(text);
  }

  #move(pull: LivePull, now: number): PullMotion {
    // Varies the speed with a cheap pseudo-random factor.
    const speed = pull.speed * (0.7 + ((this.#nextUpdate * 7919) % 997) / 1661);
    pull.downloaded = Math.min(pull.total * 0.995, pull.downloaded + (speed * (now - pull.movedAt)) / 1000);
    pull.movedAt = now;
    const downloaded = Math.floor(pull.downloaded);
    const left = Math.round((pull.total - downloaded) / pull.speed);
    const percent = Math.round((downloaded / pull.total) * 880) / 10;
    const done = Math.floor((downloaded / pull.total) * LAYERS);
    return [
      pull.row,
      percent,
      downloaded,
      Math.floor(downloaded * 0.6),
      // A realistic speed instead of the slow one used internally.
      Math.round(speed * 100),
      left,
      Math.round(left * 0.85),
      Math.round(left * 1.3),
      done,
      [],
    ];
  }

  #status(pull: LivePull, layers = false): PullStatus {
    const { row, total, downloaded, speed, startedAt } = pull;
    const image = IMAGES[row % IMAGES.length] as (typeof IMAGES)[number];
    const namespace = NAMESPACES[row % NAMESPACES.length] as string;
    return {
      id: `lease~${nodeName(row)}~k8s.io~${row}-load~${Math.round(startedAt)}000000`,
      row,
      nodeName: nodeName(row),
      imageRef: image.ref,
      rootDigest: image.rootDigest,
      platform: 'linux/amd64',
      pods: [
        {
          namespace,
          podName: `app-${row}`,
          uid: `uid-${row}`,
          container: 'app',
          image: image.ref,
          evidence: 'digest',
        },
      ],
      attempt: 1,
      phase: 'downloading',
      percent: Math.round((downloaded / total) * 880) / 10,
      totalKnown: true,
      totalBytes: total,
      cachedBytes: 0,
      toDownloadBytes: total,
      downloadedBytes: Math.floor(downloaded),
      toExtractBytes: total,
      extractedBytes: Math.floor(downloaded * 0.6),
      bytesPerSec: Math.round(speed * 100),
      startedAt: iso(startedAt),
      downloadingAt: iso(startedAt + 400),
      layerCount: LAYERS,
      layersDone: Math.floor((downloaded / total) * LAYERS),
      ...(layers ? { layers: layersOf(pull) } : {}),
    };
  }

  #endedStatus(pull: LivePull, now: number): PullStatus {
    const { bytesPerSec: _, ...row } = this.#status(pull);
    const { total } = pull;
    const all = { downloadedBytes: total, extractedBytes: total, layersDone: LAYERS, percent: 100 };
    return { ...row, ...all, phase: 'completed', outcome: 'completed', completedAt: iso(now) };
  }

  #nodes(now: number): NodeStatus[] {
    const nodes: NodeStatus[] = Array.from({ length: NODES }, (_, index) => ({
      name: nodeName(index),
      state: 'live',
      lastReportAt: iso(now),
      agentVersion: '0.2.0',
      runtimeVersion: 'containerd://2.4.2',
      clockOffsetMs: 3,
      live: 0,
      ended: 0,
      toDownloadBytes: 0,
      downloadedBytes: 0,
      bytesPerSec: 0,
    }));
    for (const { row, total, downloaded, speed } of this.#live) {
      const node = nodes[row % NODES] as NodeStatus;
      node.live += 1;
      node.toDownloadBytes += total;
      node.downloadedBytes += Math.floor(downloaded);
      node.bytesPerSec = (node.bytesPerSec ?? 0) + Math.round(speed * 100);
    }
    return nodes;
  }

  // --- requests ---

  serve(path: string, query: URLSearchParams, _request: IncomingMessage, response: ServerResponse): void {
    if (path === 'v1/events') this.#stream(response);
    else sendAnswer(response, answer(this.#worldFor(query), this.#seq, path.replace(/^v1\//, ''), query));
  }

  #stream(response: ServerResponse): void {
    response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
    const now = Date.now();
    const stamp = { seq: this.#seq, now: iso(now) };
    response.write(formatEvent('frame', { ...stamp, nodes: this.#nodes(now) }));
    const all = [
      ...this.#live.map((pull) => this.#status(pull)),
      ...this.#recentlyEnded.map(({ status }) => status),
    ];
    for (let i = 0; i < all.length; i += 500) {
      response.write(formatEvent('frame', { ...stamp, rows: all.slice(i, i + 500) }));
    }
    response.write(formatEvent('snapshot-end', stamp, `${EPOCH}-${this.#seq}`));
    this.#readers.add(response);
    response.on('close', () => this.#readers.delete(response));
  }

  /** Only the rows that the query asks for: pulls are queried by id. */
  #worldFor(query: URLSearchParams): World {
    const now = Date.now();
    const rows = new Set(
      (query.get('id') ?? '').split(',').map((id) => Number(id.split('~')[3]?.split('-')[0])),
    );
    const requested = this.#live.filter(({ row }) => rows.has(row));
    const bytesPerSec = Array.from({ length: 450 }, (_, i) => 4e10 + 1e10 * Math.sin(i / 20));
    return {
      rows: requested.map((pull) => this.#status(pull, true)),
      nodes: this.#nodes(now),
      pods: [],
      server: {
        epoch: EPOCH,
        seq: this.#seq,
        now: iso(now),
        version: '0.2.0',
        clusterName: 'load',
        startedAt: iso(now - 86_400_000),
        keepsEndedSeconds: ENDED_KEPT_MS / 1000,
        cluster: { pods: 'live', events: 'live' },
        throughput: { stepSeconds: 2, endsAt: iso(now), bytesPerSec },
      },
    };
  }
}

function layersOf({ row, total, downloaded }: LivePull): NonNullable<PullStatus['layers']> {
  const size = Math.floor(total / LAYERS);
  return Array.from({ length: LAYERS }, (_, index) => {
    const bytes = Math.max(0, Math.min(size, Math.floor(downloaded - index * size)));
    return {
      digest: randomDigest('load', row, index),
      createdBy: `RUN step ${index + 1}`,
      totalBytes: size,
      downloadedBytes: bytes,
      state:
        bytes === size ? ('complete' as const) : bytes > 0 ? ('downloading' as const) : ('waiting' as const),
    };
  });
}
