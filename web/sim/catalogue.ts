// Images of the simulated clusters, with realistic layers, build steps and sizes.

import { randomDigest } from './random';

export const KiB = 1024;
export const MiB = 1024 * KiB;
export const GiB = 1024 * MiB;

export interface ImageLayer {
  digest: string;
  mediaType: string;
  step: string;
  /** Compressed bytes. */
  size: number;
}

export interface Image {
  ref: string;
  rootDigest: string;
  manifestDigest: string;
  layers: readonly ImageLayer[];
}

/** MiB, and the build step that created the layer. */
type BuildStep = readonly [mib: number, step: string];

const GZIP = 'application/vnd.oci.image.layer.v1.tar+gzip';
const ZSTD = 'application/vnd.oci.image.layer.v1.tar+zstd';

/** Base images. Images with the same base share its layers. */
const BASE_LAYERS: Record<string, readonly BuildStep[]> = {
  'ubuntu:24.04': [[28.4, 'FROM ubuntu:24.04']],
  'debian:13-slim': [[28.2, 'FROM debian:13-slim']],
  'alpine:3.23': [[3.6, 'FROM alpine:3.23']],
  'node:24-trixie-slim': [
    [28.2, 'FROM debian:13-slim'],
    [3.9, 'RUN groupadd --gid 1000 node && useradd --uid 1000 --gid node --shell /bin/bash node'],
    [41.3, 'RUN ARCH= && curl -fsSLO --compressed https://nodejs.org/dist/v24.11.1/node-v24.11.1.tar.xz'],
    [1.7, 'RUN set -ex && npm install -g corepack'],
  ],
  'eclipse-temurin:25-jre': [
    [28.4, 'FROM ubuntu:24.04'],
    [
      21.8,
      'RUN apt-get update && apt-get install -y --no-install-recommends fontconfig ca-certificates p11-kit',
    ],
    [62.1, 'RUN set -eux; ARCH="$(dpkg --print-architecture)"; wget -O /tmp/openjdk.tar.gz "$BINARY_URL"'],
    [0.01, 'COPY entrypoint.sh /__cacert_entrypoint.sh'],
  ],
  'python:3.14-slim': [
    [28.2, 'FROM debian:13-slim'],
    [1.3, 'RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates netbase tzdata'],
    [
      13.4,
      'RUN set -eux; savedAptMark="$(apt-mark showmanual)"; ./configure --enable-optimizations && make -j',
    ],
    [0.01, 'RUN for src in idle3 pip3 pydoc3 python3; do ln -svT "$src" "/usr/local/bin/"; done'],
  ],
  'ghcr.io/acme/cuda:13': [
    [28.4, 'FROM ubuntu:24.04'],
    [0.4, 'RUN groupadd -r app && useradd -r -g app app'],
    [212, 'RUN apt-get install -y --no-install-recommends cuda-cudart-13-0 libcublas-13-0'],
    [780, 'RUN apt-get install -y --no-install-recommends libcudnn9-cuda-13 libnccl2'],
    [46, 'RUN apt-get install -y --no-install-recommends python3.13 python3-pip'],
  ],
  'nginx:1.29-alpine': [
    [3.6, 'FROM alpine:3.23'],
    [44.2, 'RUN apk add --no-cache nginx nginx-mod-http-brotli openssl'],
  ],
};

function image(ref: string, base: string | undefined, steps: readonly BuildStep[], mediaType = GZIP): Image {
  const layer = ([mib, step]: BuildStep, owner: string): ImageLayer => ({
    digest: randomDigest('layer', owner, step),
    mediaType,
    step,
    size: Math.max(128, Math.round(mib * MiB)),
  });
  // Base layers are identified by their step alone, so that different bases can share them.
  const baseLayers = (base === undefined ? [] : (BASE_LAYERS[base] ?? [])).map((step) => layer(step, ''));
  return {
    ref,
    rootDigest: randomDigest('index', ref),
    manifestDigest: randomDigest('manifest', ref),
    layers: [...baseLayers, ...steps.map((step) => layer(step, ref))],
  };
}

const ALL: readonly Image[] = [
  image('ghcr.io/acme/ml-inference:2.4.1', 'ghcr.io/acme/cuda:13', [
    [0.002, 'COPY requirements.txt /app/'],
    [2460, 'RUN pip install --no-cache-dir torch==2.12.0 vllm==0.20.1'],
    [318, 'RUN pip install --no-cache-dir -r /app/requirements.txt'],
    [74, 'COPY tokenizer/ /app/tokenizer/'],
    [640, 'COPY weights/embed-v3.safetensors /models/'],
    [12.6, 'COPY src/ /app/src/'],
    [0.01, 'COPY entrypoint.sh /usr/local/bin/'],
  ]),
  image('ghcr.io/acme/ml-batch:2.4.1', 'ghcr.io/acme/cuda:13', [
    [402, 'RUN pip install --no-cache-dir polars pyarrow onnxruntime-gpu'],
    [9, 'COPY src/ /app/src/'],
  ]),
  image('nvcr.io/nvidia/pytorch:26.09-py3', 'ubuntu:24.04', [
    [310, 'RUN /nvidia/build-scripts/installCUDA.sh'],
    [1900, 'RUN /nvidia/build-scripts/installLIBS.sh && /nvidia/build-scripts/installCUDNN.sh'],
    [820, 'RUN /nvidia/build-scripts/installNCCL.sh && /nvidia/build-scripts/installHPCX.sh'],
    [2900, 'RUN pip install --no-cache-dir /builder/*.whl'],
    [1400, 'RUN pip install --no-cache-dir apex transformer-engine flash-attn'],
    [610, 'RUN /nvidia/build-scripts/installTRT.sh'],
    [92, 'COPY tutorials tutorials'],
    [0.006, 'COPY entrypoint/ /opt/nvidia/'],
  ]),
  image('ghcr.io/acme/checkout:8f3c2d1', 'node:24-trixie-slim', [
    [0.0005, 'WORKDIR /app'],
    [118, 'RUN npm ci --omit=dev'],
    [22, 'COPY dist/ /app/dist/'],
  ]),
  image('ghcr.io/acme/storefront:8f3c2d1', 'node:24-trixie-slim', [
    [0.0005, 'WORKDIR /srv'],
    [204, 'RUN npm ci --omit=dev'],
    [61, 'COPY .next/ /srv/.next/'],
    [18, 'COPY public/ /srv/public/'],
  ]),
  image('ghcr.io/acme/payments-api:1.42.0', 'eclipse-temurin:25-jre', [
    [0.0008, 'RUN useradd --system --uid 10001 payments'],
    [144, 'COPY build/libs/dependencies/ /app/lib/'],
    [3.1, 'COPY build/libs/payments-api.jar /app/'],
  ]),
  image('ghcr.io/acme/migrate:1.42.0', 'alpine:3.23', [
    [9.8, 'RUN apk add --no-cache postgresql18-client'],
    [31, 'COPY migrations/ /migrations/'],
  ]),
  image('ghcr.io/acme/search-indexer:0.31.2', 'debian:13-slim', [
    [240, 'COPY lucene/ /opt/lucene/'],
    [380, 'COPY dictionaries/ /opt/dictionaries/'],
    [52, 'COPY indexer /usr/bin/indexer'],
    [0.004, 'COPY config/ /etc/indexer/'],
  ]),
  image('ghcr.io/acme/search-data:2026-11-23', undefined, [[1480, 'COPY index/ /']], ZSTD),
  image('public.ecr.aws/acme/batch-worker:2026.11.23', 'python:3.14-slim', [
    [410, 'RUN pip install --no-cache-dir pandas pyarrow polars'],
    [88, 'RUN pip install --no-cache-dir -r requirements.txt'],
    [9, 'COPY src/ /srv/'],
  ]),
  image('docker.io/grafana/grafana:12.2.1', 'alpine:3.23', [
    [12.1, 'RUN apk add --no-cache ca-certificates bash curl tzdata musl-utils'],
    [148, 'COPY bin/ /usr/share/grafana/bin/'],
    [34, 'COPY public/ /usr/share/grafana/public/'],
  ]),
  image('registry.k8s.io/ingress-nginx/controller:v1.13.4', 'nginx:1.29-alpine', [
    [48, 'COPY --chown=www-data:www-data rootfs/etc /etc'],
    [41, 'COPY nginx-ingress-controller /'],
    [0.1, 'RUN setcap cap_net_bind_service=+ep /nginx-ingress-controller'],
  ]),
  image('quay.io/cilium/cilium:v1.18.4', 'ubuntu:24.04', [
    [92, 'COPY --from=llvm-dist /usr/local/bin/clang /usr/local/bin/llc /bin/'],
    [138, 'COPY --from=builder /tmp/install /'],
    [16, 'COPY bpf/ /var/lib/cilium/bpf/'],
  ]),
  image('docker.io/library/postgres:18.1', 'debian:13-slim', [
    [1.1, 'RUN set -eux; groupadd -r postgres --gid=999; useradd -r -g postgres --uid=999'],
    [112, 'RUN set -ex; apt-get install -y --no-install-recommends postgresql-18=18.1-1.pgdg13+2'],
    [0.01, 'COPY docker-entrypoint.sh docker-ensure-initdb.sh /usr/local/bin/'],
  ]),
  image('docker.io/istio/proxyv2:1.28.0', 'ubuntu:24.04', [
    [31, 'COPY envoy /usr/local/bin/envoy'],
    [54, 'COPY pilot-agent /usr/local/bin/pilot-agent'],
  ]),
  image('registry.k8s.io/pause:3.10.1', undefined, [[0.25, 'COPY pause /pause']]),
  image('docker.io/bitnami/redis:7.4.2', 'debian:13-slim', [[64, 'RUN install_packages redis']]),
  image('ghcr.io/acme/fraud-model:3.0.0-rc1', 'python:3.14-slim', [[1200, 'COPY model/ /model/']]),
  image('docker.io/library/busybox:1.37', undefined, [[2.1, 'COPY rootfs/ /']]),
];

const BY_REF = new Map(ALL.map((each) => [each.ref, each]));

const repository = (ref: string): string => ref.replace(/[@:][^/]*$/, '');

/**
 * Returns the image of this name. Another tag of a known image has the same base, steps and sizes.
 */
export function imageByRef(ref: string): Image {
  const existing = BY_REF.get(ref);
  if (existing) return existing;
  const similar = ALL.find((each) => repository(each.ref) === repository(ref));
  const made = similar ? retagged(similar, ref) : image(ref, 'debian:13-slim', [[48, 'COPY . /app']]);
  BY_REF.set(ref, made);
  return made;
}

function retagged(similar: Image, ref: string): Image {
  const layers = similar.layers.map((layer) =>
    layer.digest === randomDigest('layer', similar.ref, layer.step)
      ? { ...layer, digest: randomDigest('layer', ref, layer.step) }
      : layer,
  );
  return {
    ref,
    rootDigest: randomDigest('index', ref),
    manifestDigest: randomDigest('manifest', ref),
    layers,
  };
}
