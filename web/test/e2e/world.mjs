// A small cluster as a function of time: what its pulls are at second `t` is always the same.

const BASE = Date.parse('2026-11-24T20:00:00Z');
const MiB = 1024 * 1024;
const EXTRACT = 60 * MiB;

/** The instant `t` seconds after the world began. */
export const at = (t) => new Date(BASE + t * 1000).toISOString();

const digest = (seed) => `sha256:${seed.repeat(64).slice(0, 64)}`;

/** A layer: its size in MiB, when its first byte comes, and how many MiB come each second. */
const layer = (seed, mib, step, start, rate) => ({
  digest: digest(seed),
  size: mib * MiB,
  step,
  start,
  rate: rate * MiB,
});
const cached = (seed, mib, step) => ({ digest: digest(seed), size: mib * MiB, step, cached: true });

/** A container of a pod that wants the image. */
const link = (pod, container, image, evidence) => {
  const [namespace, podName] = pod.split('/');
  return { namespace, podName, uid: `uid-${podName}`, container, image, ...(evidence ? { evidence } : {}) };
};
const SHOP = 'registry.example/shop';
const WEB = `${SHOP}/web:5.1.0`;
const ANNOUNCED = 'announced~worker-2~k8s.io~uid-cart-6b5c.cart~1795550403000000000';

/** What Kubernetes knows of a pull, by its id. `queued`: until then it was announced, under another id. */
const LINKS = {
  'lease~gpu-worker-2~k8s.io~1-pytorch~1795550395000000000': {
    pods: [link('ml/train-0', 'trainer', 'nvcr.io/nvidia/pytorch:26.09-py3', 'image_record')],
  },
  'lease~gpu-worker-2~k8s.io~4-cilium~1795550402000000000': {
    pods: [link('kube-system/cilium-x7k2p', 'cilium-agent', 'quay.io/cilium/cilium:v1.18.4', 'digest')],
    kubelet: { pullSeconds: 0.412, withWaitingSeconds: 1.9, agrees: true },
  },
  'lease~worker-2~k8s.io~1-web~1795550402000000000': {
    pods: [
      link('shop/web-5d8f7c-2xk4j', 'app', WEB, 'event'),
      link('shop/web-5d8f7c-9sl2m', 'app', WEB, 'event'),
      link('shop/web-5d8f7c-9sl2m', 'migrate', WEB, 'event'),
      link('shop/web-5d8f7c-q8w7e', 'app', WEB, 'event'),
      link('shop/preview-7', 'app', WEB, 'learned_tag'),
    ],
  },
  'lease~worker-2~k8s.io~2-cart~1795550424000000000': {
    pods: [link('shop/cart-6b5c', 'cart', `${SHOP}/cart:2.0`, 'event')],
    attempt: 2,
    supersedes: ANNOUNCED,
    queuedAt: 3,
  },
  'lease~worker-2~k8s.io~3-tool~1795550401000000000': {
    candidates: [
      link('jobs/backup-28', 'dump', `${SHOP}/tool:1`),
      link('jobs/report-28', 'report', `${SHOP}/tool:2`),
    ],
  },
  'lease~worker-2~k8s.io~5-sidecar~1795550380000000000': {
    pods: [link('shop/search-0', 'proxy', `${SHOP}/sidecar:1.9`, 'image_record')],
    queuedAt: -24,
    kubelet: { pullSeconds: 14.2, withWaitingSeconds: 18.25, imageBytes: 62_000_000, agrees: false },
  },
};

const PULLS = [
  {
    id: 'lease~worker-2~k8s.io~1-web~1795550402000000000',
    node: 'worker-2',
    image: WEB,
    begin: 2,
    manifest: 2.5,
    layers: [
      cached('1a', 28, 'FROM debian:13-slim'),
      layer('1b', 210, 'COPY --from=build /srv /srv', 2.5, 12),
      layer('1c', 40, 'COPY assets/ /srv/assets/', 2.5, 8),
    ],
  },
  {
    id: 'lease~worker-2~k8s.io~2-cart~1795550424000000000',
    node: 'worker-2',
    image: `${SHOP}/cart:2.0`,
    begin: 24,
    manifest: 24.5,
    announced: { id: ANNOUNCED, at: 3, behind: 'lease~worker-2~k8s.io~1-web~1795550402000000000', ahead: 2 },
    layers: [layer('2a', 80, 'COPY cart /usr/bin/', 24.5, 10)],
  },
  {
    id: 'lease~worker-2~k8s.io~3-tool~1795550401000000000',
    node: 'worker-2',
    begin: 1,
    manifest: 1e9,
    layers: [],
  },
  {
    id: 'announced~worker-2~k8s.io~uid-mail-0.mail~1795550398000000000',
    node: 'worker-2',
    image: `${SHOP}/mial:3`,
    begin: -2,
    only: {
      end: -1,
      attempt: 3,
      pods: [link('shop/mail-0', 'mail', `${SHOP}/mial:3`, 'event')],
      failure: {
        reason: 'not_found',
        message: `rpc error: code = NotFound desc = failed to pull and unpack image "${SHOP}/mial:3": failed to resolve reference "${SHOP}/mial:3": ${SHOP}/mial:3: not found`,
        hint: 'the registry has no such tag or digest: check the name; a private registry may also say so where it should say 401',
        nextRetryAt: 39,
      },
    },
  },
  {
    id: 'lease~worker-2~k8s.io~5-sidecar~1795550380000000000',
    node: 'worker-2',
    image: `${SHOP}/sidecar:1.9`,
    begin: -20,
    manifest: -19.5,
    layers: [layer('5a', 60, 'COPY proxy /usr/bin/', -19.5, 12)],
  },
  {
    id: 'lease~worker-1~k8s.io~1-checkout~1795550400000000000',
    node: 'worker-1',
    image: 'ghcr.io/acme/checkout:8f3c2d1',
    begin: 0,
    manifest: 0.5,
    layers: [
      cached('a1', 28.4, 'FROM debian:13-slim'),
      cached('a2', 0.4, 'RUN useradd --system app'),
      layer('a3', 96, 'RUN apt-get install -y --no-install-recommends ca-certificates libpq5', 0.5, 14),
      layer('a4', 310, 'COPY --from=build /app/node_modules /app/node_modules', 0.5, 12),
      layer('a5', 12.6, 'COPY dist/ /app/', 7.5, 9),
      layer('a6', 0.01, 'COPY entrypoint.sh /usr/local/bin/', 9, 1),
    ],
  },
  {
    id: 'lease~worker-1~k8s.io~2-python~1795550401000000000',
    node: 'worker-1',
    image: 'docker.io/library/python:3.13-slim',
    begin: 1,
    manifest: 1.5,
    layers: [
      layer('b1', 120, 'FROM debian:13-slim', 1.5, 4),
      layer('b2', 45, 'RUN set -eux; savedAptMark="$(apt-mark showmanual)"; apt-get update', 2, 3),
      layer('b3', 1.2, 'RUN set -eux; for src in idle3 pip3 pydoc3 python3', 3, 1),
    ],
  },
  {
    id: 'lease~worker-1~k8s.io~3-worker~1795550402000000000',
    node: 'worker-1',
    image: 'registry.example:5000/batch/nightly-report:2026.11.24',
    begin: 2,
    manifest: 2.5,
    waits: {
      kind: 'shared_layer',
      pull: 'lease~worker-1~k8s.io~2-python~1795550401000000000',
      layer: digest('b1'),
      until: 31.5,
    },
    layers: [
      {
        ...layer('b1', 120, 'FROM debian:13-slim', 1.5, 4),
        shared: 'lease~worker-1~k8s.io~2-python~1795550401000000000',
      },
      layer('c2', 8, 'COPY report.py /srv/', 2.5, 8),
    ],
  },
  {
    id: 'lease~worker-1~k8s.io~4-stuck~1795550402500000000',
    node: 'worker-1',
    image: 'registry.example:5000/team/stuck:1.2',
    begin: 2.5,
    manifest: 3,
    stall: 8,
    layers: [layer('d1', 900, 'RUN download-models --all', 3, 18)],
  },
  {
    id: 'lease~worker-1~k8s.io~5-silent~1795550404000000000',
    node: 'worker-1',
    begin: 4,
    manifest: 1e9,
    layers: [],
  },
  {
    id: 'lease~gpu-worker-2~k8s.io~1-pytorch~1795550395000000000',
    node: 'gpu-worker-2',
    image: 'nvcr.io/nvidia/pytorch:26.09-py3',
    begin: -5,
    manifest: -4,
    slow: true,
    layers: [
      cached('e0', 29, 'FROM ubuntu:24.04'),
      layer('e1', 410, 'RUN apt-get install -y cuda-cudart-13-0 libcudnn9-cuda-13', -4, 60),
      layer('e2', 180, 'RUN apt-get install -y python3.13 python3.13-venv', -4, 70),
      layer('e3', 2600, 'RUN pip install --no-cache-dir torch==2.12.0 vllm==0.20.1', -3, 45),
      { ...layer('e4', 640, 'COPY weights/embed-v3.safetensors /models/', 30, 50), slot: true },
    ],
  },
  {
    id: 'lease~gpu-worker-2~k8s.io~2-grafana~1795550400000000000',
    node: 'gpu-worker-2',
    image: 'docker.io/grafana/grafana:12.2.1',
    begin: 0,
    manifest: 0.4,
    layers: [
      layer('f1', 60, 'RUN apk add --no-cache tzdata', 0.4, 30),
      layer('f2', 540, 'COPY bin public conf /usr/share/grafana/', 0.4, 50),
    ],
  },
  {
    id: 'lease~gpu-worker-2~k8s.io~3-redis~1795550401000000000',
    node: 'gpu-worker-2',
    image: 'docker.io/library/redis:7.4.2',
    begin: 1,
    manifest: 1.5,
    end: { at: 6, outcome: 'failed', failure: { reason: 'unexplained' } },
    layers: [
      layer('a7', 31, 'FROM debian:13-slim', 1.5, 3),
      layer('a8', 12, 'RUN set -eux; make -C /usr/src/redis', 1.5, 1),
    ],
  },
  {
    id: 'lease~gpu-worker-2~k8s.io~4-cilium~1795550402000000000',
    node: 'gpu-worker-2',
    image: 'quay.io/cilium/cilium:v1.18.4',
    begin: 2,
    manifest: 2.1,
    layers: [cached('a9', 180, 'COPY --from=release / /'), cached('b9', 66, 'RUN /usr/bin/clang --version')],
  },
  {
    id: 'lease~gpu-worker-2~k8s.io~5-fraud~1795550350000000000',
    node: 'gpu-worker-2',
    image: 'ghcr.io/acme/fraud-model:3.0.0-rc1',
    begin: -50,
    manifest: -49,
    end: {
      at: -40,
      outcome: 'failed',
      failure: {
        reason: 'no_space',
        message:
          'write /var/lib/containerd/io.containerd.content.v1.content/ingest/9f/data: no space left on device',
      },
    },
    layers: [layer('b7', 900, 'COPY model.onnx /models/', -49, 30)],
  },
  {
    id: 'lease~gpu-worker-2~k8s.io~6-debug~1795550340000000000',
    node: 'gpu-worker-2',
    image:
      'docker.io/nicolaka/netshoot@sha256:7f08c4aff13ff61a35d30e30c5c1ea8396eac6ab4ce19fd02d5a4b3b5d0d09a2',
    begin: -60,
    manifest: -59,
    end: { at: -52, outcome: 'cancelled' },
    layers: [layer('b8', 200, 'RUN apk add --no-cache tcpdump nmap iperf3', -59, 10)],
  },
  {
    id: 'lease~worker-7~k8s.io~1-controller~1795550370000000000',
    node: 'worker-7',
    image: 'registry.k8s.io/ingress-nginx/controller:v1.13.4',
    begin: -30,
    manifest: -29,
    stale: -12,
    layers: [layer('c7', 110, 'COPY --chown=www-data:www-data etc /etc', -29, 2)],
  },
];

const NODES = [
  { name: 'worker-2', runtimeVersion: 'containerd://2.4.2' },
  { name: 'worker-1', runtimeVersion: 'containerd://2.4.2' },
  { name: 'gpu-worker-2', runtimeVersion: 'containerd://1.7.29' },
  { name: 'worker-7', runtimeVersion: 'containerd://2.4.2', lostAt: -12 },
  { name: 'worker-3', runtimeVersion: 'containerd://2.4.2' },
  { name: 'worker-4', runtimeVersion: 'containerd://2.4.2' },
];

const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

/** Bytes, states and times of the layers at `t`, unpacked one after another. */
function layersAt(pull, t) {
  const still = Math.min(t, pull.stall ?? t, pull.end?.at ?? t, pull.stale ?? t);
  let free = Number.NEGATIVE_INFINITY;
  return pull.layers.map((each) => {
    const base = {
      digest: each.digest,
      mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip',
      createdBy: each.step,
      totalBytes: each.size,
    };
    if (each.cached) return { ...base, state: 'cached' };
    const here = each.start + each.size / each.rate;
    const from = Math.max(here, free);
    const done = from + each.size / EXTRACT;
    free = done;
    const downloadedBytes = Math.round(clamp((still - each.start) * each.rate, 0, each.size));
    if (still >= done) return { ...base, state: 'complete', downloadedBytes, completedAt: at(done) };
    if (still >= from) {
      return {
        ...base,
        state: 'extracting',
        downloadedBytes,
        unpackedBytes: Math.round((still - from) * EXTRACT * 2.6),
        extractingAt: at(from),
      };
    }
    if (still >= here)
      return {
        ...base,
        state: 'downloaded',
        downloadedBytes,
        waitingOn: { kind: 'parent_layer', since: at(here) },
      };
    if (still > each.start) {
      const bytesPerSec = still < t ? 0 : each.rate;
      const shared = each.shared && {
        waitingOn: { kind: 'shared_layer', since: at(pull.manifest), pull: each.shared, layer: each.digest },
      };
      return {
        ...base,
        state: shared ? 'waiting' : 'downloading',
        downloadedBytes,
        ...(shared ? {} : { bytesPerSec }),
        ...shared,
      };
    }
    const waitingOn = { kind: 'download_slot', since: at(pull.manifest) };
    return { ...base, state: 'waiting', downloadedBytes: 0, ...(each.slot ? { waitingOn } : {}) };
  });
}

const sum = (list, of) => list.reduce((total, each) => total + (of(each) ?? 0), 0);

/** What the API server knows of it, with its times as instants. */
const linked = (id) => {
  const { queuedAt, ...links } = LINKS[id] ?? {};
  return queuedAt === undefined ? links : { ...links, queuedAt: at(queuedAt) };
};

/** One that waits in the kubelet's queue. */
function announcedAt(pull, t) {
  const { id, at: since, behind, ahead } = pull.announced;
  const { supersedes: _, ...links } = linked(pull.id);
  return {
    id,
    row: 1_000,
    nodeName: pull.node,
    imageRef: pull.image,
    ...links,
    phase: 'queued',
    totalKnown: false,
    startedAt: at(since),
    waitingOn: { kind: 'kubelet_queue', since: at(since), pull: behind, ahead, etaSeconds: 24 - t },
  };
}

/** One that is known from events alone. */
function toldAt(pull) {
  const { end, failure, ...links } = pull.only;
  return {
    id: pull.id,
    nodeName: pull.node,
    imageRef: pull.image,
    ...links,
    phase: 'failed',
    outcome: 'failed',
    failure: { ...failure, nextRetryAt: at(failure.nextRetryAt) },
    totalKnown: false,
    queuedAt: at(pull.begin),
    startedAt: at(pull.begin),
    completedAt: at(end),
  };
}

function rowAt(pull, t) {
  if (pull.only) return toldAt(pull);
  if (t < pull.begin) return announcedAt(pull, t);
  const base = { id: pull.id, nodeName: pull.node, startedAt: at(pull.begin), ...linked(pull.id) };
  if (t < pull.manifest) {
    const waitingOn =
      t > pull.begin + 2 ? { waitingOn: { kind: 'registry', since: at(pull.begin + 2) } } : {};
    return { ...base, phase: 'resolving', totalKnown: false, ...waitingOn };
  }
  const layers = layersAt(pull, t);
  const own = layers.filter((each) => each.state !== 'cached');
  const toDownloadBytes = sum(own, (each) => each.totalBytes);
  const downloadedBytes = sum(own, (each) => each.downloadedBytes);
  const complete = own.filter((each) => each.state === 'complete');
  const extractedBytes = sum(complete, (each) => each.totalBytes);
  const known = {
    ...base,
    imageRef: pull.image,
    repository: pull.image.replace(/[@:][^/]*$/, ''),
    rootDigest: digest(pull.id.length.toString(16)),
    platform: 'linux/amd64',
    totalKnown: true,
    totalBytes: sum(layers, (each) => each.totalBytes),
    cachedBytes: sum(layers, (each) => (each.state === 'cached' ? each.totalBytes : 0)),
    toDownloadBytes,
    downloadedBytes,
    extractedBytes,
    downloadingAt: at(pull.manifest),
    layerCount: layers.length,
    layersDone: layers.filter((each) => each.state === 'complete' || each.state === 'cached').length,
    layers,
  };
  const lastDone =
    own.length === 0
      ? pull.manifest + 0.3
      : Math.max(...own.map((each) => Date.parse(each.completedAt ?? at(1e6)))) / 1000 - BASE / 1000;
  if (complete.length === own.length && t >= lastDone) {
    return { ...known, phase: 'completed', outcome: 'completed', percent: 100, completedAt: at(lastDone) };
  }
  if (pull.end && t >= pull.end.at) {
    const { outcome, failure } = pull.end;
    return {
      ...known,
      phase: outcome,
      outcome,
      ...(failure ? { failure } : {}),
      completedAt: at(pull.end.at),
    };
  }
  const share = toDownloadBytes === 0 ? 1 : (0.8 * downloadedBytes + 0.2 * extractedBytes) / toDownloadBytes;
  const rate = sum(layers, (each) => each.bytesPerSec);
  const live = {
    ...known,
    phase: downloadedBytes < toDownloadBytes ? 'downloading' : 'extracting',
    percent: Math.min(99.9, share * 100),
  };
  if (pull.stale !== undefined && t >= pull.stale) return { ...live, staleSince: at(pull.stale) };
  if (pull.stall !== undefined && t >= pull.stall)
    return { ...live, stalledSince: at(pull.stall), bytesPerSec: 0 };
  const { waits } = pull;
  if (waits && t < waits.until) {
    return {
      ...live,
      waitingOn: { kind: waits.kind, since: at(pull.manifest), pull: waits.pull, layer: waits.layer },
    };
  }
  const left =
    (toDownloadBytes - downloadedBytes) / (rate || EXTRACT) + (toDownloadBytes - extractedBytes) / EXTRACT;
  return {
    ...live,
    ...(rate > 0 ? { bytesPerSec: rate } : {}),
    etaSeconds: left,
    etaLowSeconds: left * 0.8,
    etaHighSeconds: left * (pull.slow ? 1.9 : 1.15),
    etaBasis: 'assumed',
    ...(pull.slow ? { slow: true } : {}),
  };
}

/** Everything at second `t`, of the nodes in `heard`. */
export function worldAt(t, heard = NODES.map((node) => node.name)) {
  const rows = PULLS.map((pull, index) => ({ pull, row: index + 1 }))
    .filter(({ pull }) => (pull.announced?.at ?? pull.begin) <= t && heard.includes(pull.node))
    .map(({ pull, row }) => ({ row, ...rowAt(pull, t) }));
  const nodes = NODES.filter((node) => heard.includes(node.name)).map(({ lostAt, ...node }) => {
    const live = rows.filter((row) => row.nodeName === node.name && !row.outcome);
    const lost = lostAt !== undefined && t >= lostAt;
    const rate = sum(live, (row) => row.bytesPerSec);
    return {
      ...node,
      state: lost ? 'lost' : 'live',
      agentVersion: '0.2.0',
      // The server has put all times right by it already.
      clockOffsetMs: 3_600_000,
      lastReportAt: at(lost ? lostAt : Math.floor(t)),
      live: live.length,
      ended: rows.filter((row) => row.nodeName === node.name && row.outcome).length,
      toDownloadBytes: sum(live, (row) => row.toDownloadBytes),
      downloadedBytes: sum(live, (row) => row.downloadedBytes),
      ...(rate > 0 ? { bytesPerSec: rate } : {}),
    };
  });
  return { rows, nodes };
}

export const NODE_NAMES = NODES.map((node) => node.name);
