// The difference between two worlds as a frame of the stream.

import type { Frame, LayerStatus, NodeStatus, PullMotion, PullStatus } from '../src/api/gen/wire';
import type { World } from './world';

export type LayerMode = 'embed' | 'none';

export type WorldDiff = Required<Pick<Frame, 'rows' | 'up' | 'rm' | 'nodes'>>;

/** The row as sent to a reader with or without layers. */
export function withLayers(row: PullStatus, layers: LayerMode): PullStatus {
  if (layers === 'embed' || row.layers === undefined) return row;
  const { layers: _, ...rest } = row;
  return rest;
}

/** The part of a row that does not change with its progress, for comparison. */
function staticFields(row: PullStatus, layers: LayerMode): string {
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
  return JSON.stringify(rest) + (layers === 'embed' ? (all ?? []).map(staticLayerFields).join() : '');
}

function staticLayerFields(layer: LayerStatus): string {
  const { downloadedBytes: _downloaded, unpackedBytes: _unpacked, bytesPerSec: _speed, ...rest } = layer;
  return JSON.stringify(rest);
}

function motion(before: PullStatus, row: PullStatus, layers: LayerMode): PullMotion {
  const moving: PullMotion[9] = [];
  for (const [index, layer] of (layers === 'embed' ? (row.layers ?? []) : []).entries()) {
    const { downloadedBytes = null, unpackedBytes = null, bytesPerSec = null } = layer;
    const previous = before.layers?.[index];
    const isUnchanged =
      (previous?.downloadedBytes ?? null) === downloadedBytes &&
      (previous?.unpackedBytes ?? null) === unpackedBytes &&
      (previous?.bytesPerSec ?? null) === bytesPerSec;
    if (!isUnchanged) moving.push([index, downloadedBytes, unpackedBytes, bytesPerSec]);
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

export function diffWorlds(before: World, world: World, layers: LayerMode): WorldDiff {
  const previousById = new Map(before.rows.map((row) => [row.id, row]));
  const rows: PullStatus[] = [];
  const up: PullMotion[] = [];
  for (const row of world.rows) {
    const previous = previousById.get(row.id);
    previousById.delete(row.id);
    if (previous === row) continue;
    if (!previous || row.row === undefined || staticFields(previous, layers) !== staticFields(row, layers))
      rows.push(withLayers(row, layers));
    else if (JSON.stringify(withLayers(previous, layers)) !== JSON.stringify(withLayers(row, layers)))
      up.push(motion(previous, row, layers));
  }
  return { rows, up, rm: [...previousById.keys()], nodes: diffNodes(before.nodes, world.nodes) };
}

function diffNodes(before: readonly NodeStatus[], nodes: readonly NodeStatus[]): NodeStatus[] {
  const previousByName = new Map(before.map((node) => [node.name, node]));
  const found = nodes.filter((node) => {
    const previous = previousByName.get(node.name);
    previousByName.delete(node.name);
    return previous !== node && JSON.stringify(previous) !== JSON.stringify(node);
  });
  return [...found, ...[...previousByName.values()].map((node) => ({ ...node, removed: true }))];
}
