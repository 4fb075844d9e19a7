// What the server answers to a question about now. Addresses, filters and refusals are those of the real one.

import type { ImageStatus, PodLink, PodStatus, PullStatus } from '../src/api/gen/wire';
import { type Layers, told } from './change';
import type { World } from './world';

export interface Answer {
  status: number;
  body: unknown;
}

export function problem(status: number, reason: string, title: string, detail?: string): Answer {
  return { status, body: { status, title, ...(detail ? { detail } : {}), reason } };
}

const NOTHING = problem(404, 'not_found', 'There is nothing here');
const query = (detail: string): Answer => problem(400, 'query', 'The query is not understood', detail);

const FILTERS = ['node', 'namespace', 'pod', 'image'];
const PAGE = ['limit', 'continue'];
const PULLS = [...FILTERS, ...PAGE, 'phase', 'layers', 'id'];

type Query = URLSearchParams;

/** `path` is what follows `api/v1/`, as it was asked. */
export function answer(world: World, seq: number, path: string, asked: Query): Answer {
  const { epoch, now } = world.server;
  const stamp = { epoch, seq, now };
  const parts = path.split('/').map(decoded);
  const [first, second, ...rest] = parts;
  if (first === 'server' && parts.length === 1) return ok({ ...world.server, seq }, asked, []);
  if (first === 'nodes' && parts.length === 1) {
    return ok({ ...stamp, nodes: sorted(world.nodes, (node) => node.name) }, asked, []);
  }
  if (first === 'images' && parts.length === 1)
    return ok({ ...stamp, images: images(world.rows) }, asked, []);
  if (first === 'pulls' && parts.length === 1) return pulls(world, stamp, asked);
  if (first === 'pulls' && parts.length === 2) {
    const found = world.rows.find((row) => row.id === second);
    return found ? ok(found, asked, []) : NOTHING;
  }
  if (first === 'pods' && parts.length === 1) return pods(world, stamp, asked);
  if (first === 'namespaces' && rest[0] === 'pods' && rest[2] === 'pulls' && parts.length === 5) {
    return onePod(world, stamp, second ?? '', rest[1] ?? '');
  }
  return NOTHING;
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

function ok(body: unknown, asked: Query, known: readonly string[]): Answer {
  return refused(asked, known) ?? { status: 200, body };
}

/** A filter that is spelled wrong would show everything. */
function refused(asked: Query, known: readonly string[]): Answer | undefined {
  const names = [...asked.keys()];
  const odd = names.find((name, index) => !known.includes(name) || names.indexOf(name) !== index);
  return odd === undefined ? undefined : query(`\`${odd}\` is not known here, or is there twice`);
}

const sorted = <T>(list: readonly T[], key: (item: T) => string): T[] =>
  list.toSorted((a, b) => (key(a) < key(b) ? -1 : 1));

function pulls(world: World, stamp: object, asked: Query): Answer {
  const refusal = refused(asked, PULLS);
  if (refusal) return refusal;
  const layers: Layers = asked.get('layers') === 'none' ? 'none' : 'embed';
  const ids = asked.get('id')?.split(',');
  const phases = asked.get('phase')?.split(',');
  const found = world.rows.filter(
    (row) =>
      (!ids || ids.includes(row.id)) &&
      (!phases || phases.includes(row.phase)) &&
      (asked.get('node') ?? row.nodeName) === row.nodeName &&
      isOfPod(row, asked) &&
      isOfImage(row, asked.get('image')),
  );
  return page(
    'pulls',
    sorted(found, (row) => row.id).map((row) => told(row, layers)),
    (row) => row.id,
    stamp,
    asked,
  );
}

function isOfPod(row: PullStatus, asked: Query): boolean {
  const [namespace, pod] = [asked.get('namespace'), asked.get('pod')];
  if (namespace === null && pod === null) return true;
  const fits = (link: PodLink): boolean =>
    (namespace ?? link.namespace) === link.namespace && (pod ?? link.podName) === link.podName;
  return (row.pods ?? []).some(fits);
}

function isOfImage(row: PullStatus, image: string | null): boolean {
  if (image === null) return true;
  if (image.startsWith('sha256:')) return image === row.rootDigest || image === row.manifestDigest;
  return [row.imageRef, ...(row.pods ?? []).map((link) => link.image)].some((name) => name?.includes(image));
}

/** A page of a list that is sorted by `key`. */
function page<T>(
  name: string,
  list: readonly T[],
  key: (item: T) => string,
  stamp: object,
  asked: Query,
): Answer {
  const limit = Math.min(5000, Math.max(1, Number(asked.get('limit') ?? 500)));
  if (Number.isNaN(limit)) return query('`limit` is no number');
  const after = asked.get('continue');
  const rest = after === null ? list : list.filter((item) => key(item) > after);
  const part = rest.slice(0, limit);
  const last = part.at(-1);
  const more = rest.length > part.length && last !== undefined ? { continue: key(last) } : {};
  return { status: 200, body: { ...stamp, [name]: part, ...more } };
}

function pods(world: World, stamp: object, asked: Query): Answer {
  const { cluster } = world.server;
  const refusal = refused(asked, [...FILTERS, ...PAGE]);
  if (refusal) return refusal;
  if (cluster.pods === 'off' && cluster.events === 'off') return notAvailable;
  const is = (name: string, value: string): boolean => (asked.get(name) ?? value) === value;
  const image = asked.get('image');
  const found = world.pods.filter(
    (pod) =>
      is('node', pod.nodeName) &&
      is('namespace', pod.namespace) &&
      is('pod', pod.podName) &&
      (image === null || pod.images.some((each) => each.image.includes(image))),
  );
  const key = (pod: PodStatus): string => `${pod.namespace}/${pod.podName}`;
  return page('pods', sorted(found, key), key, { ...stamp, cluster }, asked);
}

const notAvailable = problem(
  400,
  'not_available',
  'This server does not know pods',
  'pods are not available without Kubernetes',
);

function onePod(world: World, stamp: object, namespace: string, name: string): Answer {
  const { cluster } = world.server;
  if (cluster.pods === 'off' && cluster.events === 'off') return notAvailable;
  const pod = world.pods.find((each) => each.namespace === namespace && each.podName === name);
  if (!pod && cluster.pods !== 'live') {
    return problem(503, 'not_heard', 'The pods of the cluster are not heard now', cluster.podsReason);
  }
  if (!pod) return NOTHING;
  const found = pod.images.flatMap(({ pull }) => world.rows.filter((row) => row.id === pull));
  return { status: 200, body: { ...stamp, pod, pulls: found.map((row) => told(row, 'none')) } };
}

function images(rows: readonly PullStatus[]): ImageStatus[] {
  const found = new Map<string, ImageStatus & { on: Set<string> }>();
  for (const row of rows) {
    const name = row.imageRef ?? row.repository ?? row.rootDigest;
    if (name === undefined) continue;
    const image = found.get(name) ?? { name, phases: {}, nodes: 0, on: new Set<string>() };
    image.phases[row.phase] = (image.phases[row.phase] ?? 0) + 1;
    image.nodes = image.on.add(row.nodeName).size;
    if (row.rootDigest) image.rootDigest = row.rootDigest;
    if (row.totalBytes !== undefined) image.totalBytes = row.totalBytes;
    found.set(name, image);
  }
  return sorted([...found.values()], ({ name }) => name).map(({ on: _, ...image }) => image);
}
