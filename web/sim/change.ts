// The difference between two worlds as a frame of the stream, which has no layers.

import type { Frame, NodeStatus, PullMotion, PullStatus } from '../src/api/gen/wire';
import type { World } from './world';

export function withoutLayers(row: PullStatus): PullStatus {
  if (row.layers === undefined) return row;
  const { layers: _, ...rest } = row;
  return rest;
}

/** The part of a row that does not change with its progress, for comparison. */
function staticFields(row: PullStatus): string {
  const {
    percent: _percent,
    downloadedBytes: _downloaded,
    extractedBytes: _extracted,
    bytesPerSec: _speed,
    etaSeconds: _eta,
    etaLowSeconds: _low,
    etaHighSeconds: _high,
    layersDone: _done,
    layers: _layers,
    ...rest
  } = row;
  return JSON.stringify(rest);
}

const motion = (row: PullStatus): PullMotion => [
  row.row ?? 0,
  row.percent ?? null,
  row.downloadedBytes ?? null,
  row.extractedBytes ?? null,
  row.bytesPerSec ?? null,
  row.etaSeconds ?? null,
  row.etaLowSeconds ?? null,
  row.etaHighSeconds ?? null,
  row.layersDone ?? null,
  [],
];

export function diffWorlds(
  before: World,
  world: World,
): Required<Pick<Frame, 'rows' | 'up' | 'rm' | 'nodes'>> {
  const previousById = new Map(before.rows.map((row) => [row.id, row]));
  const rows: PullStatus[] = [];
  const up: PullMotion[] = [];
  for (const row of world.rows) {
    const previous = previousById.get(row.id);
    previousById.delete(row.id);
    if (previous === row) continue;
    if (!previous || row.row === undefined || staticFields(previous) !== staticFields(row))
      rows.push(withoutLayers(row));
    else if (JSON.stringify(motion(previous)) !== JSON.stringify(motion(row))) up.push(motion(row));
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
