// What turns one world into another, as a frame of the stream says it.

import type { Frame, LayerStatus, NodeStatus, PullMotion, PullStatus } from '../src/api/gen/wire';
import type { World } from './world';

export type Layers = 'embed' | 'none';

export type Change = Required<Pick<Frame, 'rows' | 'up' | 'rm' | 'nodes'>>;

/** The row as a reader gets it who asked for layers, or for none. */
export function told(row: PullStatus, layers: Layers): PullStatus {
  if (layers === 'embed' || row.layers === undefined) return row;
  const { layers: _, ...rest } = row;
  return rest;
}

/** What says the same of a row as long as it only moves. */
function still(row: PullStatus, layers: Layers): string {
  const {
    percent: _percent,
    downloadedBytes: _downloaded,
    extractedBytes: _extracted,
    bytesPerSec: _speed,
    etaSeconds: _eta,
    etaLowSeconds: _low,
    etaHighSeconds: _high,
    layersDone: _done,
    layers: all,
    ...rest
  } = row;
  return JSON.stringify(rest) + (layers === 'embed' ? (all ?? []).map(stillLayer).join() : '');
}

function stillLayer(layer: LayerStatus): string {
  const { downloadedBytes: _downloaded, unpackedBytes: _unpacked, bytesPerSec: _speed, ...rest } = layer;
  return JSON.stringify(rest);
}

function motion(before: PullStatus, row: PullStatus, layers: Layers): PullMotion {
  const moving: PullMotion[9] = [];
  for (const [index, layer] of (layers === 'embed' ? (row.layers ?? []) : []).entries()) {
    const { downloadedBytes = null, unpackedBytes = null, bytesPerSec = null } = layer;
    const was = before.layers?.[index];
    const same =
      (was?.downloadedBytes ?? null) === downloadedBytes &&
      (was?.unpackedBytes ?? null) === unpackedBytes &&
      (was?.bytesPerSec ?? null) === bytesPerSec;
    if (!same) moving.push([index, downloadedBytes, unpackedBytes, bytesPerSec]);
  }
  return [
    row.row ?? 0,
    row.percent ?? null,
    row.downloadedBytes ?? null,
    row.extractedBytes ?? null,
    row.bytesPerSec ?? null,
    row.etaSeconds ?? null,
    row.etaLowSeconds ?? null,
    row.etaHighSeconds ?? null,
    row.layersDone ?? null,
    moving,
  ];
}

export function change(before: World, world: World, layers: Layers): Change {
  const old = new Map(before.rows.map((row) => [row.id, row]));
  const rows: PullStatus[] = [];
  const up: PullMotion[] = [];
  for (const row of world.rows) {
    const was = old.get(row.id);
    old.delete(row.id);
    if (was === row) continue;
    if (!was || row.row === undefined || still(was, layers) !== still(row, layers))
      rows.push(told(row, layers));
    else if (JSON.stringify(told(was, layers)) !== JSON.stringify(told(row, layers)))
      up.push(motion(was, row, layers));
  }
  return { rows, up, rm: [...old.keys()], nodes: changedNodes(before.nodes, world.nodes) };
}

function changedNodes(before: readonly NodeStatus[], nodes: readonly NodeStatus[]): NodeStatus[] {
  const old = new Map(before.map((node) => [node.name, node]));
  const found = nodes.filter((node) => {
    const was = old.get(node.name);
    old.delete(node.name);
    return was !== node && JSON.stringify(was) !== JSON.stringify(node);
  });
  return [...found, ...[...old.values()].map((node) => ({ ...node, removed: true }))];
}
