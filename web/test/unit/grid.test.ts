import { expect, test } from 'vitest';
import { limitCells, nodeGrid, poolName } from '../../src/model/grid';
import { node, pull } from './fixtures';

test('pool name is the common prefix of nodes', () => {
  const names = {
    'gpu-worker-14': 'gpu-worker',
    'worker-a-36': 'worker-a',
    'kind-control-plane': '',
    'ip-10-0-1-23.eu-west-1.compute.internal': 'ip',
    'gke-prod-default-pool-1a2b3c4d-x9z1': 'gke-prod-default-pool',
    'aks-nodepool1-12345678-vmss000001': 'aks-nodepool1',
    worker: '',
    node7: '',
    '': '',
  };
  for (const [name, pool] of Object.entries(names)) expect([name, poolName(name)]).toEqual([name, pool]);
});

test('cell shows the most urgent state', () => {
  const nodes = [
    node('w-1', { live: 1, bytesPerSec: 1000 }),
    node('w-2', { live: 1, bytesPerSec: 10 }),
    node('w-3', { live: 1 }),
    node('w-4', { live: 1 }),
    node('w-5', { live: 1 }),
    node('w-6'),
    node('w-7', { state: 'lost', live: 1, bytesPerSec: 5000 }),
    node('w-8', { live: 1 }),
    node('w-10', { live: 1, bytesPerSec: 250 }),
  ];
  const rows = [
    pull('1', { nodeName: 'w-1' }),
    pull('2', { nodeName: 'w-2' }),
    pull('2b', { nodeName: 'w-2', phase: 'extracting' }),
    pull('3', { nodeName: 'w-3', phase: 'extracting' }),
    pull('4', { nodeName: 'w-4', stalledSince: '2026-11-24T20:00:01Z' }),
    pull('5', { nodeName: 'w-5', phase: 'queued' }),
    pull('7', { nodeName: 'w-7' }),
    pull('8', { nodeName: 'w-8' }),
    pull('10', { nodeName: 'w-10' }),
  ];
  const [pool, ...others] = nodeGrid(nodes, rows, new Set(['w-8', 'w-7']));
  expect(others).toEqual([]);
  expect(pool?.name).toBe('w');
  expect(pool?.cells.map(({ name, state, shade }) => [name, state, shade])).toEqual([
    ['w-1', 'pulling', 4],
    ['w-2', 'pulling', 1],
    ['w-3', 'extracting', 0],
    ['w-4', 'stalled', 0],
    ['w-5', 'waiting', 0],
    ['w-6', 'idle', 0],
    ['w-7', 'silent', 0],
    ['w-8', 'failing', 0],
    ['w-10', 'pulling', 2],
  ]);
});

test('pools sort by name, single nodes last', () => {
  const nodes = ['b-1', 'b-2', 'lonely', 'c-1', 'a-1', 'a-2', 'a-3'].map((name) => node(name));
  expect(nodeGrid(nodes, []).map(({ name, cells }) => [name, cells.length])).toEqual([
    ['a', 3],
    ['b', 2],
    ['', 2],
  ]);
});

test('grid drops idle nodes first when limited', () => {
  const nodes = Array.from({ length: 5000 }, (_, index) =>
    node(`w-${index}`, index === 4000 ? { state: 'lost' } : { live: index % 1000 === 0 ? 1 : 0 }),
  );
  const rows = [0, 1000, 2000, 3000].map((index) => pull(`p${index}`, { nodeName: `w-${index}` }));
  const { pools, rest } = limitCells(nodeGrid(nodes, rows), 100);
  expect(rest).toBe(4900);
  expect(pools[0]?.cells).toHaveLength(100);
  const shown = new Set(pools[0]?.cells.map(({ name }) => name));
  for (const index of [0, 1000, 2000, 3000, 4000]) expect(shown).toContain(`w-${index}`);
  expect(limitCells(nodeGrid(nodes.slice(0, 50), []), 100).rest).toBe(0);
});
