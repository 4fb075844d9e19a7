// Responses of the simulated API. Paths, filters and errors match the real server.

import type { ImageStatus, PodLink, PodStatus, PullStatus } from '../src/api/gen/wire';
import { type LayerMode, withLayers } from './change';
import type { World } from './world';

export interface Answer {
  status: number;
  body: unknown;
}

export function problem(status: number, reason: string, title: string, detail?: string): Answer {
  return { status, body: { status, title, ...(detail ? { detail } : {}), reason } };
}

const NOT_FOUND = problem(404, 'not_found', 'Not found');
const badQuery = (detail: string): Answer => problem(400, 'query', 'Invalid query', detail);

const FILTERS = ['node', 'namespace', 'pod', 'image'];
const PAGING = ['limit', 'continue'];
const PULL_PARAMS = [...FILTERS, ...PAGING, 'phase', 'layers', 'id'];

type Query = URLSearchParams;

/** `path` is the raw path after `api/v1/`. */
export function answer(world: World, seq: number, path: string, query: Query): Answer {
  const { epoch, now } = world.server;
  const stamp = { epoch, seq, now };
  const parts = path.split('/').map(decoded);
  const [first, second, ...rest] = parts;
  if (first === 'server' && parts.length === 1) return ok({ ...world.server, seq }, query, []);
  if (first === 'nodes' && parts.length === 1) {
    return ok({ ...stamp, nodes: sorted(world.nodes, (node) => node.name) }, query, []);
  }
  if (first === 'images' && parts.length === 1)
    return ok({ ...stamp, images: images(world.rows) }, query, []);
  if (first === 'pulls' && parts.length === 1) return pulls(world, stamp, query);
  if (first === 'pulls' && parts.length === 2) {
    const found = world.rows.find((row) => row.id === second);
    return found ? ok(found, query, []) : NOT_FOUND;
  }
  if (first === 'pods' && parts.length === 1) return pods(world, stamp, query);
  if (first === 'namespaces' && rest[0] === 'pods' && rest[2] === 'pulls' && parts.length === 5) {
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

function ok(body: unknown, query: Query, allowed: readonly string[]): Answer {
  return rejectUnknown(query, allowed) ?? { status: 200, body };
}

/** Rejects unknown parameters: a misspelled filter would return everything. */
function rejectUnknown(query: Query, allowed: readonly string[]): Answer | undefined {
  const names = [...query.keys()];
  const unknown = names.find((name, index) => !allowed.includes(name) || names.indexOf(name) !== index);
  return unknown === undefined ? undefined : badQuery(`unknown or duplicate parameter \`${unknown}\``);
}

const sorted = <T>(list: readonly T[], key: (item: T) => string): T[] =>
  list.toSorted((a, b) => (key(a) < key(b) ? -1 : 1));

function pulls(world: World, stamp: object, query: Query): Answer {
  const refusal = rejectUnknown(query, PULL_PARAMS);
  if (refusal) return refusal;
  const layers: LayerMode = query.get('layers') === 'none' ? 'none' : 'embed';
  const ids = query.get('id')?.split(',');
  const phases = query.get('phase')?.split(',');
  const matching = world.rows.filter(
    (row) =>
      (!ids || ids.includes(row.id)) &&
      (!phases || phases.includes(row.phase)) &&
      (query.get('node') ?? row.nodeName) === row.nodeName &&
      matchesPod(row, query) &&
      matchesImage(row, query.get('image')),
  );
  return listPage(
    'pulls',
    sorted(matching, (row) => row.id).map((row) => withLayers(row, layers)),
    (row) => row.id,
    stamp,
    query,
  );
}

function matchesPod(row: PullStatus, query: Query): boolean {
  const [namespace, pod] = [query.get('namespace'), query.get('pod')];
  if (namespace === null && pod === null) return true;
  const matches = (link: PodLink): boolean =>
    (namespace ?? link.namespace) === link.namespace && (pod ?? link.podName) === link.podName;
  return (row.pods ?? []).some(matches);
}

function matchesImage(row: PullStatus, image: string | null): boolean {
  if (image === null) return true;
  if (image.startsWith('sha256:')) return image === row.rootDigest || image === row.manifestDigest;
  return [row.imageRef, ...(row.pods ?? []).map((link) => link.image)].some((name) => name?.includes(image));
}

/** Returns one page of a list sorted by `key`. */
function listPage<T>(
  name: string,
  list: readonly T[],
  key: (item: T) => string,
  stamp: object,
  query: Query,
): Answer {
  const limit = Math.min(5000, Math.max(1, Number(query.get('limit') ?? 500)));
  if (Number.isNaN(limit)) return badQuery('invalid `limit`: expected a number');
  const after = query.get('continue');
  const rest = after === null ? list : list.filter((item) => key(item) > after);
  const part = rest.slice(0, limit);
  const last = part.at(-1);
  const more = rest.length > part.length && last !== undefined ? { continue: key(last) } : {};
  return { status: 200, body: { ...stamp, [name]: part, ...more } };
}

function pods(world: World, stamp: object, query: Query): Answer {
  const { cluster } = world.server;
  const refusal = rejectUnknown(query, [...FILTERS, ...PAGING]);
  if (refusal) return refusal;
  if (cluster.pods === 'off' && cluster.events === 'off') return NOT_AVAILABLE;
  const is = (name: string, value: string): boolean => (query.get(name) ?? value) === value;
  const image = query.get('image');
  const matching = world.pods.filter(
    (pod) =>
      is('node', pod.nodeName) &&
      is('namespace', pod.namespace) &&
      is('pod', pod.podName) &&
      (image === null || pod.images.some((each) => each.image.includes(image))),
  );
  const key = (pod: PodStatus): string => `${pod.namespace}/${pod.podName}`;
  return listPage('pods', sorted(matching, key), key, { ...stamp, cluster }, query);
}

const NOT_AVAILABLE = problem(
  400,
  'not_available',
  'Pods not available',
  'pods are not available without Kubernetes',
);

function podPulls(world: World, stamp: object, namespace: string, name: string): Answer {
  const { cluster } = world.server;
  if (cluster.pods === 'off' && cluster.events === 'off') return NOT_AVAILABLE;
  const pod = world.pods.find((each) => each.namespace === namespace && each.podName === name);
  if (!pod && cluster.pods !== 'live') {
    return problem(503, 'not_heard', 'Pods are temporarily unavailable', cluster.podsReason);
  }
  if (!pod) return NOT_FOUND;
  const found = pod.images.flatMap(({ pull }) => world.rows.filter((row) => row.id === pull));
  return { status: 200, body: { ...stamp, pod, pulls: found.map((row) => withLayers(row, 'none')) } };
}

function images(rows: readonly PullStatus[]): ImageStatus[] {
  const found = new Map<string, ImageStatus & { nodeNames: Set<string> }>();
  for (const row of rows) {
    const name = row.imageRef ?? row.repository ?? row.rootDigest;
    if (name === undefined) continue;
    const image = found.get(name) ?? { name, phases: {}, nodes: 0, nodeNames: new Set<string>() };
    image.phases[row.phase] = (image.phases[row.phase] ?? 0) + 1;
    image.nodes = image.nodeNames.add(row.nodeName).size;
    if (row.rootDigest) image.rootDigest = row.rootDigest;
    if (row.totalBytes !== undefined) image.totalBytes = row.totalBytes;
    found.set(name, image);
  }
  return sorted([...found.values()], ({ name }) => name).map(({ nodeNames: _, ...image }) => image);
}
