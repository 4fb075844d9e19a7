// States of a server and of a cluster, rather than of a pull.

import type { ClusterStatus } from '../../src/api/gen/wire';
import { container, node, type Plan, plan, pod } from '../plan';
import { chance } from '../random';
import type { World } from '../world';
import { rollout, rolloutPlan } from './rollout';
import { changed, played, type Story } from './story';

export const firstLoad = changed(
  rollout,
  { name: 'first-load', shows: 'A server that has not told all of its snapshot yet', unfinished: true },
  (world) => ({ ...world, rows: [], nodes: world.nodes.slice(0, 3) }),
);

const without = (name: string, more: Partial<Plan> = {}): Plan =>
  plan(name, [], [], { startedAt: -90, ...more });

export const noAgents = played({ name: 'no-agents', shows: 'A server that no agent has reported to' }, () =>
  without('no-agents'),
);

const EIGHT = Array.from({ length: 8 }, (_, i) => node(`worker-${'abc'[i % 3]}-${12 + i}`));

export const idle = played({ name: 'idle', shows: 'Eight nodes, and nothing is or was pulled' }, () =>
  plan('idle', EIGHT, []),
);

export const quietWithEnded = played(
  { name: 'quiet-with-ended', shows: 'Nothing is pulled now; the last pulls ended some minutes ago' },
  () =>
    plan(
      'quiet-with-ended',
      EIGHT,
      EIGHT.flatMap(({ name }, i) => [
        pod('shop', 'checkout', i, name, -620 + i * 3, [
          container('checkout', 'ghcr.io/acme/checkout:8f3c2d1'),
        ]),
        pod('monitoring', 'grafana', i, name, -270 + i * 4, [
          container('grafana', 'docker.io/grafana/grafana:12.2.1'),
        ]),
      ]),
    ),
);

const deaf = (name: string, shows: string, cluster: ClusterStatus): Story =>
  played({ name, shows, until: 180 }, () => ({ ...rolloutPlan(), cluster }));

export const podsOff = deaf('pods-off', 'A server that was given no cluster to ask: no pods, no events', {
  pods: 'off',
  events: 'off',
});

export const podsForbidden = deaf('pods-forbidden', 'A server whose account may not list pods', {
  pods: 'forbidden',
  podsReason:
    'pods is forbidden: User "system:serviceaccount:pulltrace:pulltrace-server" cannot list resource "pods" in API group "" at the cluster scope',
  events: 'live',
});

const RESTARTED = -8;
/** Until then all agents have reported to the new server. */
const ALL_HEARD = 14;

export const serverRestarted = changed(
  rollout,
  {
    name: 'server-restarted',
    shows:
      'A server that began anew 8 s ago: some agents have not reported to it yet, and its history is short',
    opens: -10,
    until: 60,
  },
  (world, t, origin) => (t < RESTARTED ? world : restarted(world, t, origin)),
);

function restarted(world: World, t: number, origin: number): World {
  const heard = (name: string): boolean => t >= RESTARTED + chance('reports', name) * (ALL_HEARD - RESTARTED);
  const { throughput } = world.server;
  const steps = Math.max(0, Math.floor((t - RESTARTED) / throughput.stepSeconds));
  return {
    ...world,
    rows: world.rows.filter((row) => heard(row.nodeName)),
    nodes: world.nodes.filter((each) => heard(each.name)),
    server: {
      ...world.server,
      epoch: 'e2',
      startedAt: new Date(origin + RESTARTED * 1000).toISOString(),
      throughput: {
        ...throughput,
        bytesPerSec: steps === 0 ? [] : throughput.bytesPerSec.slice(-steps),
      },
    },
  };
}

export const pageOlder = changed(
  rollout,
  {
    name: 'page-older-than-server',
    shows: 'A server that was updated, and has another page than the one that is open',
    opens: -1,
  },
  (world, t) =>
    t < 0
      ? world
      : { ...world, server: { ...world.server, version: '0.3.0 (5f2c81d09a4e)', page: '5f2c81d09a4e' } },
);
