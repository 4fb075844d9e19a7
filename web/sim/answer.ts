// Responses of the simulated API to the requests of the page. Errors match the real server.

import { withoutLayers } from './change';
import type { World } from './world';

export interface Answer {
  status: number;
  body: unknown;
}

export function problem(status: number, reason: string, title: string, detail?: string): Answer {
  return { status, body: { status, title, ...(detail ? { detail } : {}), reason } };
}

const NOT_FOUND = problem(404, 'not_found', 'Not found');
const NOT_AVAILABLE = problem(
  400,
  'not_available',
  'Pods not available',
  'pods are not available without Kubernetes',
);

/** `path` is the raw path after `api/v1/`. */
export function answer(world: World, seq: number, path: string, query: URLSearchParams): Answer {
  const { epoch, now } = world.server;
  const stamp = { epoch, seq, now };
  const [first, second, ...rest] = path.split('/').map(decoded);
  if (first === 'server' && second === undefined) return ok({ ...world.server, seq });
  if (first === 'pulls' && second === undefined) {
    const ids = new Set(query.get('id')?.split(','));
    return ok({ ...stamp, pulls: world.rows.filter((row) => ids.has(row.id)) });
  }
  if (first === 'namespaces' && rest[0] === 'pods' && rest[2] === 'pulls' && rest.length === 3) {
    return podPulls(world, stamp, second ?? '', rest[1] ?? '');
  }
  return NOT_FOUND;
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

const ok = (body: unknown): Answer => ({ status: 200, body });

function podPulls(world: World, stamp: object, namespace: string, name: string): Answer {
  const { cluster } = world.server;
  if (cluster.pods === 'off' && cluster.events === 'off') return NOT_AVAILABLE;
  const pod = world.pods.find((each) => each.namespace === namespace && each.podName === name);
  if (!pod && cluster.pods !== 'live') {
    return problem(503, 'not_heard', 'Pods are temporarily unavailable', cluster.podsReason);
  }
  if (!pod) return NOT_FOUND;
  const found = pod.images.flatMap(({ pull }) => world.rows.filter((row) => row.id === pull));
  return ok({ ...stamp, pod, pulls: found.map(withoutLayers) });
}
