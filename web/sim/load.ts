// More than any cluster does: so many pulls, so many updates each second, told in frames. Cheap to make, as it must not take
// the processor from the browser that is measured.

import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Frame, NodeStatus, PullMotion, PullStatus } from '../src/api/gen/wire';
import { answer } from './answer';
import { imageOf } from './catalogue';
import { event, send } from './feed';
import { between, chance, digest } from './random';
import type { Source } from './server';
import type { World } from './world';

export interface LoadOptions {
  pulls: number;
  updatesPerSecond: number;
}

const FRAME_MS = 250;
const NODES = 500;
/** Of all pulls so many end each second, and as many begin. */
const TURNOVER = 0.001;
/** How long an ended pull stays. */
const KEPT_MS = 10_000;
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
].map(imageOf);

const NAMESPACES = ['ml-serving', 'training', 'shop', 'payments', 'search', 'batch', 'monitoring', 'ingress'];

/** A pull that is going on. */
interface Going {
  row: number;
  startedAt: number;
  total: number;
  /** Bytes per second, on average. */
  speed: number;
  here: number;
  movedAt: number;
}

const iso = (at: number): string => new Date(at).toISOString();
const nodeName = (row: number): string => `node-${String(row % NODES).padStart(3, '0')}`;

export class Load implements Source {
  #options: LoadOptions;
  #going: Going[];
  #kept: { row: number; status: PullStatus; until: number }[] = [];
  #rows = 0;
  #next = 0;
  #turnover = 0;
  #seq = 1;
  #readers = new Set<ServerResponse>();
  #timer: NodeJS.Timeout | undefined;

  constructor(options: LoadOptions) {
    this.#options = options;
    const now = Date.now();
    this.#going = Array.from({ length: options.pulls }, () =>
      this.#begin(now - 60_000 * chance('age', this.#rows), now),
    );
  }

  start(): void {
    this.#timer = setInterval(() => this.#tick(), FRAME_MS);
  }

  stop(): void {
    clearInterval(this.#timer);
    for (const reader of this.#readers) reader.destroy();
  }

  #begin(startedAt: number, now: number): Going {
    this.#rows += 1;
    const row = this.#rows;
    const total = Math.floor(between(2e8, 8e9, 'total', row));
    // So slow that it lasts for as long as it stays.
    const speed = (total * TURNOVER) / 2;
    return { row, startedAt, total, speed, here: total * chance('here', row) * 0.4, movedAt: now };
  }

  // --- what changes ---

  #tick(): void {
    const now = Date.now();
    const { pulls, updatesPerSecond } = this.#options;
    const up: PullMotion[] = [];
    for (let i = 0; i < (updatesPerSecond * FRAME_MS) / 1000; i += 1) {
      const pull = this.#going[this.#next % pulls] as Going;
      this.#next += 1;
      up.push(this.#move(pull, now));
    }
    const rows: PullStatus[] = [];
    const rm: string[] = [];
    for (this.#turnover += (pulls * TURNOVER * FRAME_MS) / 1000; this.#turnover >= 1; this.#turnover -= 1) {
      const index = Math.floor(chance('ends', this.#rows) * pulls);
      const ended = this.#ended(this.#going[index] as Going, now);
      this.#kept.push({ row: ended.row ?? 0, status: ended, until: now + KEPT_MS });
      const begun = this.#begin(now, now);
      this.#going[index] = begun;
      rows.push(ended, this.#status(begun));
    }
    while ((this.#kept[0]?.until ?? now) < now) rm.push(this.#kept.shift()?.status.id ?? '');
    this.#seq += 1;
    const part = this.#seq % 4;
    const nodes = this.#nodes(now).filter((_, index) => index % 4 === part);
    const frame: Frame = { seq: this.#seq, now: iso(now), rows, up, rm, nodes };
    const text = event('frame', frame, `${EPOCH}-${this.#seq}`);
    for (const reader of this.#readers) reader.write(text);
  }

  #move(pull: Going, now: number): PullMotion {
    // Speeds differ from one moment to the next, by a number that costs nothing.
    const speed = pull.speed * (0.7 + ((this.#next * 7919) % 997) / 1661);
    pull.here = Math.min(pull.total * 0.995, pull.here + (speed * (now - pull.movedAt)) / 1000);
    pull.movedAt = now;
    const here = Math.floor(pull.here);
    const left = Math.round((pull.total - here) / pull.speed);
    const percent = Math.round((here / pull.total) * 880) / 10;
    const done = Math.floor((here / pull.total) * LAYERS);
    return [
      pull.row,
      percent,
      here,
      Math.floor(here * 0.6),
      // As fast as such a pull is, rather than as slow as it must be to last.
      Math.round(speed * 100),
      left,
      Math.round(left * 0.85),
      Math.round(left * 1.3),
      done,
      [],
    ];
  }

  #status(pull: Going, layers = false): PullStatus {
    const { row, total, here, speed, startedAt } = pull;
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
      percent: Math.round((here / total) * 880) / 10,
      totalKnown: true,
      totalBytes: total,
      cachedBytes: 0,
      toDownloadBytes: total,
      downloadedBytes: Math.floor(here),
      toExtractBytes: total,
      extractedBytes: Math.floor(here * 0.6),
      bytesPerSec: Math.round(speed * 100),
      startedAt: iso(startedAt),
      downloadingAt: iso(startedAt + 400),
      layerCount: LAYERS,
      layersDone: Math.floor((here / total) * LAYERS),
      ...(layers ? { layers: layersOf(pull) } : {}),
    };
  }

  #ended(pull: Going, now: number): PullStatus {
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
    for (const { row, total, here, speed } of this.#going) {
      const node = nodes[row % NODES] as NodeStatus;
      node.live += 1;
      node.toDownloadBytes += total;
      node.downloadedBytes += Math.floor(here);
      node.bytesPerSec = (node.bytesPerSec ?? 0) + Math.round(speed * 100);
    }
    return nodes;
  }

  // --- requests ---

  serve(path: string, query: URLSearchParams, _request: IncomingMessage, response: ServerResponse): void {
    if (path === 'v1/events') this.#stream(response);
    else send(response, answer(this.#world(query), this.#seq, path.replace(/^v1\//, ''), query));
  }

  #stream(response: ServerResponse): void {
    response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
    const now = Date.now();
    const stamp = { seq: this.#seq, now: iso(now) };
    response.write(event('frame', { ...stamp, nodes: this.#nodes(now) }));
    const all = [...this.#going.map((pull) => this.#status(pull)), ...this.#kept.map(({ status }) => status)];
    for (let i = 0; i < all.length; i += 500) {
      response.write(event('frame', { ...stamp, rows: all.slice(i, i + 500) }));
    }
    response.write(event('snapshot-end', stamp, `${EPOCH}-${this.#seq}`));
    this.#readers.add(response);
    response.on('close', () => this.#readers.delete(response));
  }

  /** As much of a world as the question is about: pulls are asked for by their ids. */
  #world(query: URLSearchParams): World {
    const now = Date.now();
    const rows = new Set(
      (query.get('id') ?? '').split(',').map((id) => Number(id.split('~')[3]?.split('-')[0])),
    );
    const asked = this.#going.filter(({ row }) => rows.has(row));
    const bytesPerSec = Array.from({ length: 450 }, (_, i) => 4e10 + 1e10 * Math.sin(i / 20));
    return {
      rows: asked.map((pull) => this.#status(pull, true)),
      nodes: this.#nodes(now),
      pods: [],
      server: {
        epoch: EPOCH,
        seq: this.#seq,
        now: iso(now),
        version: '0.2.0',
        clusterName: 'load',
        startedAt: iso(now - 86_400_000),
        keepsEndedSeconds: KEPT_MS / 1000,
        cluster: { pods: 'live', events: 'live' },
        throughput: { stepSeconds: 2, endsAt: iso(now), bytesPerSec },
      },
    };
  }
}

function layersOf({ row, total, here }: Going): NonNullable<PullStatus['layers']> {
  const size = Math.floor(total / LAYERS);
  return Array.from({ length: LAYERS }, (_, index) => {
    const of = Math.max(0, Math.min(size, Math.floor(here - index * size)));
    return {
      digest: digest('load', row, index),
      createdBy: `RUN step ${index + 1}`,
      totalBytes: size,
      downloadedBytes: of,
      state: of === size ? ('complete' as const) : of > 0 ? ('downloading' as const) : ('waiting' as const),
    };
  });
}
