// States of the server and the cluster.

import type { ClusterStatus } from '../../src/api/gen/wire';
import { container, node, type Plan, plan, pod } from '../plan';
import { random } from '../random';
import type { World } from '../world';
import { rollout, rolloutPlan } from './rollout';
import { derivedStory, type Story, storyFromPlan } from './story';

export const firstLoad = derivedStory(
  rollout,
  { name: 'first-load', description: 'A server that is still sending its snapshot', unfinished: true },
  (world) => ({ ...world, rows: [], nodes: world.nodes.slice(0, 3) }),
);

const without = (name: string, more: Partial<Plan> = {}): Plan =>
  plan(name, [], [], { startedAt: -90, ...more });

export const noAgents = storyFromPlan({ name: 'no-agents', description: 'A server without agents' }, () =>
  without('no-agents'),
);

const EIGHT_NODES = Array.from({ length: 8 }, (_, i) => node(`worker-${'abc'[i % 3]}-${12 + i}`));

export const idle = storyFromPlan({ name: 'idle', description: 'Eight nodes without pulls' }, () =>
  plan('idle', EIGHT_NODES, []),
);

export const quietWithEnded = storyFromPlan(
  { name: 'quiet-with-ended', description: 'No active pulls; the last ones ended some minutes ago' },
  () =>
    plan(
      'quiet-with-ended',
      EIGHT_NODES,
      EIGHT_NODES.flatMap(({ name }, i) => [
        pod('shop', 'checkout', i, name, -620 + i * 3, [
          container('checkout', 'ghcr.io/acme/checkout:8f3c2d1'),
        ]),
        pod('monitoring', 'grafana', i, name, -270 + i * 4, [
          container('grafana', 'docker.io/grafana/grafana:12.2.1'),
        ]),
      ]),
    ),
);

const limitedCluster = (name: string, description: string, cluster: ClusterStatus): Story =>
  storyFromPlan({ name, description, until: 180 }, () => ({ ...rolloutPlan(), cluster }));

export const podsOff = limitedCluster('pods-off', 'A server without Kubernetes access: no pods, no events', {
  pods: 'off',
  events: 'off',
});

export const podsForbidden = limitedCluster(
  'pods-forbidden',
  'A server whose service account may not list pods',
  {
    pods: 'forbidden',
    podsReason:
      'pods is forbidden: User "system:serviceaccount:pulltrace:pulltrace-server" cannot list resource "pods" in API group "" at the cluster scope',
    events: 'live',
  },
);

const RESTARTED_AT = -8;
/** All agents have reported to the new server by then. */
const ALL_REPORTED = 14;

export const serverRestarted = derivedStory(
  rollout,
  {
    name: 'server-restarted',
    description: 'A server restarted 8 s ago: some agents have not reported yet, and history is short',
    openAt: -10,
    until: 60,
  },
  (world, t, origin) => (t < RESTARTED_AT ? world : afterRestart(world, t, origin)),
);

function afterRestart(world: World, t: number, origin: number): World {
  const hasReported = (name: string): boolean =>
    t >= RESTARTED_AT + random('reports', name) * (ALL_REPORTED - RESTARTED_AT);
  const { throughput } = world.server;
  const steps = Math.max(0, Math.floor((t - RESTARTED_AT) / throughput.stepSeconds));
  return {
    ...world,
    rows: world.rows.filter((row) => hasReported(row.nodeName)),
    nodes: world.nodes.filter((each) => hasReported(each.name)),
    server: {
      ...world.server,
      epoch: 'e2',
      startedAt: new Date(origin + RESTARTED_AT * 1000).toISOString(),
      throughput: {
        ...throughput,
        bytesPerSec: steps === 0 ? [] : throughput.bytesPerSec.slice(-steps),
      },
    },
  };
}

export const pageOlderThanServer = derivedStory(
  rollout,
  {
    name: 'page-older-than-server',
    description: 'An updated server whose page is newer than the open one',
    openAt: -1,
  },
  (world, t) =>
    t < 0
      ? world
      : { ...world, server: { ...world.server, version: '0.3.0 (5f2c81d09a4e)', page: '5f2c81d09a4e' } },
);
