// Generated from pulltrace-core by `cargo run -p pulltrace-core --all-features --example generate`. Do not edit.
//
// Within version 1 fields and words are only added: a server may say more than this.

/**
 * One pull as it is at one moment.
 *
 */
export type PullStatus = {
  /**
   * Which pull: the same for ever, and safe in a path of a URL.
   */
  id: string,
  /**
   * By what frames name it: a number of this life of the server, which is another one in the next.
   */
  row?: number,
  /**
   * The node that pulls.
   */
  nodeName: string,
  /**
   * The image's whole name with its tag or digest, where it is known.
   */
  imageRef?: string,
  /**
   * Host (without port) and path of the image, known before its whole name.
   */
  repository?: string,
  /**
   * The digest that the image's name points to: of an index, or of the only manifest.
   */
  rootDigest?: string,
  /**
   * The digest of the manifest that is run.
   */
  manifestDigest?: string,
  /**
   * `linux/amd64`, where the image says it.
   */
  platform?: string,
  /**
   * The pods that wait for it, or waited; absent where none is known.
   */
  pods?: Array<PodLink>,
  /**
   * The pods that may be waiting for it, where nothing decides between several images.
   */
  candidates?: Array<PodLink>,
  /**
   * Which try it is of the same image for the same pod; the first is 1.
   */
  attempt?: number,
  /**
   * The id that it had while it was only announced: a row of that id is this one.
   */
  supersedes?: string,
  /**
   * What it is doing; of a pull that is over, its outcome.
   */
  phase: Phase,
  /**
   * How it ended; absent while it lives.
   */
  outcome?: Outcome,
  /**
   * Why it failed, where it did.
   */
  failure?: Failure,
  /**
   * Why it failed, as one text for people.
   */
  error?: string,
  /**
   * What it waits for, where nothing of it moves.
   */
  waitingOn?: WaitingOn,
  /**
   * How far it is, 0 to 100: never goes back, and is 100 only where the pull is completed.
   */
  percent?: number,
  /**
   * Whether the sizes are known, which they are, exactly, from the manifest on.
   */
  totalKnown: boolean,
  /**
   * What the image weighs, compressed.
   */
  totalBytes?: number,
  /**
   * What of `total_bytes` was on the node before, or is served remotely.
   */
  cachedBytes?: number,
  /**
   * `total_bytes` less `cached_bytes`: what is to be downloaded by this pull or for it.
   */
  toDownloadBytes?: number,
  /**
   * What of `to_download_bytes` is here.
   */
  downloadedBytes?: number,
  /**
   * What is to be unpacked by this pull or for it, as compressed bytes: all but layers that were
   * unpacked before, or are served remotely.
   */
  toExtractBytes?: number,
  /**
   * What of `to_extract_bytes` is unpacked.
   */
  extractedBytes?: number,
  /**
   * Bytes that came and had to be fetched again.
   */
  wastedBytes?: number,
  /**
   * How fast its bytes come; absent where that is not known, or none are to come.
   */
  bytesPerSec?: number,
  /**
   * How much longer it takes, by the best guess.
   */
  etaSeconds?: number,
  /**
   * How much longer it takes if it goes well.
   */
  etaLowSeconds?: number,
  /**
   * How much longer it takes if it does not.
   */
  etaHighSeconds?: number,
  /**
   * What the unpacking part of the time left rests on.
   */
  etaBasis?: EtaBasis,
  /**
   * When the kubelet announced it, which is before its queue.
   */
  queuedAt?: string,
  /**
   * When it began; of one that is queued, when it was announced.
   */
  startedAt: string,
  /**
   * When its manifest was first seen, with which the download begins.
   */
  downloadingAt?: string,
  /**
   * When all bytes were first seen to be here.
   */
  extractingAt?: string,
  /**
   * When it ended, however it did.
   */
  completedAt?: string,
  /**
   * When it last moved, where it should and has not for long.
   */
  stalledSince?: string,
  /**
   * Whether it is seen to be far slower than pulls from its registry usually are on its node.
   */
  slow?: boolean,
  /**
   * Since when nobody has been able to see it.
   */
  staleSince?: string,
  /**
   * How long it took as the kubelet measured it.
   */
  kubelet?: KubeletTimes,
  /**
   * How many layers it has; absent until the manifest is here.
   */
  layerCount?: number,
  /**
   * With how many of them nothing is left to do.
   */
  layersDone?: number,
  /**
   * Each layer, lowest first; absent until the manifest is here.
   */
  layers?: Array<LayerStatus>,
};

/**
 * One layer of a pull.
 */
export type LayerStatus = {
  /**
   * The digest of its blob.
   */
  digest: string,
  /**
   * Its media type, as the manifest says it.
   */
  mediaType?: string,
  /**
   * The build step that made it, where the image tells.
   */
  createdBy?: string,
  /**
   * What it is doing.
   */
  state: LayerState,
  /**
   * What it weighs, compressed.
   */
  totalBytes: number,
  /**
   * What of that is here; absent where the layer is used without its bytes.
   */
  downloadedBytes?: number,
  /**
   * Whether all its bytes were on the node before the pull began, and must only be unpacked.
   */
  blobCached?: boolean,
  /**
   * Bytes that unpacking has written so far, uncompressed, where the runtime was asked.
   */
  unpackedBytes?: number,
  /**
   * How fast its bytes come; absent where that is not known, or none come any more.
   */
  bytesPerSec?: number,
  /**
   * What it waits for, where it does.
   */
  waitingOn?: WaitingOn,
  /**
   * When its first byte was seen.
   */
  startedAt?: string,
  /**
   * When all its bytes were seen.
   */
  downloadedAt?: string,
  /**
   * When its unpacking was seen to begin.
   */
  extractingAt?: string,
  /**
   * When it was seen unpacked.
   */
  completedAt?: string,
};

/**
 * Why a pull failed.
 */
export type Failure = {
  /**
   * One word of a set that grows: `unexplained`.
   */
  reason: FailureReason,
  /**
   * What is known beyond the word, for people.
   */
  message?: string,
  /**
   * What a person does next, in one line. Agents do not tell it.
   */
  hint?: string,
  /**
   * When the kubelet tries again, as its back-off implies.
   */
  nextRetryAt?: string,
};

/**
 * What a pull or a layer waits for.
 */
export type WaitingOn = {
  /**
   * What kind of thing.
   */
  kind: WaitingKind,
  /**
   * Since when that is seen.
   */
  since: string,
  /**
   * The id of the pull that must get on first, where one must.
   */
  pull?: string,
  /**
   * The digest of the layer that must get on first, where one must.
   */
  layer?: string,
  /**
   * How many pulls come before it, where it stands in a queue.
   */
  ahead?: number,
  /**
   * How much longer what it waits for takes, where that is known.
   */
  etaSeconds?: number,
};

/**
 * A container or a volume of a pod that waits for a pull, or waited.
 */
export type PodLink = {
  /**
   * The pod's namespace.
   */
  namespace: string,
  /**
   * The pod's name.
   */
  podName: string,
  /**
   * The pod's uid.
   */
  uid: string,
  /**
   * The container, or the image volume.
   */
  container: string,
  /**
   * The image that it wants.
   */
  image: string,
  /**
   * How that is known; absent of a candidate.
   */
  evidence?: LinkEvidence,
};

/**
 * How long a pull took as the kubelet measured it.
 */
export type KubeletTimes = {
  /**
   * The pull itself.
   */
  pullSeconds: number,
  /**
   * The pull and the wait for it in the kubelet's queue; older kubelets do not say.
   */
  withWaitingSeconds?: number,
  /**
   * What the kubelet says that the image weighs.
   */
  imageBytes?: number,
  /**
   * Whether what was measured here is within 20 % of it, or within a second; absent where not the
   * whole pull was seen.
   */
  agrees?: boolean,
};

/**
 * One change, as `GET /api/v1/events` streams it.
 */
export type PullEvent = {
  /**
   * [`SCHEMA_VERSION`](super::SCHEMA_VERSION).
   */
  schemaVersion: string,
  /**
   * When the server said it, by its own clock.
   */
  timestamp: string,
  /**
   * What happened.
   */
  type: EventType,
  /**
   * The node.
   */
  nodeName: string,
  /**
   * The pull, in its latest state; of a layer's event without its layers.
   */
  pull?: PullStatus,
  /**
   * The layer, where it is one that changed.
   */
  layer?: LayerStatus,
};

/**
 * What changed since the reader's last frame: `GET /api/v1/events?format=frame`.
 *
 * Apply in this order: `rows`, `up`, `rm`, `nodes`.
 */
export type Frame = {
  /**
   * Where in the server's changes the reader is now.
   */
  seq: number,
  /**
   * The server's clock.
   */
  now: string,
  /**
   * Rows that are new, or of which more changed than moves: each replaces the row of its id.
   */
  rows?: Array<PullStatus>,
  /**
   * What moves of the other rows that changed.
   */
  up?: Array<PullMotion>,
  /**
   * The ids of rows that the server keeps no more.
   */
  rm?: Array<string>,
  /**
   * Nodes that changed: each replaces the one of its name. One that is `removed` goes.
   */
  nodes?: Array<NodeStatus>,
};

/**
 * What moves of a pull. It replaces all of these fields of its row: one that is absent is unknown.
 *
 * As most of what a reader is sent is this, it is an array: `[row, percent, downloadedBytes,
 * extractedBytes, bytesPerSec, etaSeconds, etaLowSeconds, etaHighSeconds, layersDone, layers]`, with
 * null for what is unknown.
 */
export type PullMotion = [row: number, percent: number | null, downloadedBytes: number | null, extractedBytes: number | null, bytesPerSec: number | null, etaSeconds: number | null, etaLowSeconds: number | null, etaHighSeconds: number | null, layersDone: number | null, layers: Array<[index: number, downloadedBytes: number | null, unpackedBytes: number | null, bytesPerSec: number | null]>];

/**
 * `GET /api/v1/pulls`: live pulls, and ended ones until they are forgotten.
 */
export type PullList = {
  /**
   * The life of the server.
   */
  epoch: string,
  /**
   * Where in the server's changes this was true: `/api/v1/events?since=<epoch>-<seq>` goes on from it.
   */
  seq: number,
  /**
   * The server's clock.
   */
  now: string,
  /**
   * The pulls, in the order of their ids.
   */
  pulls: Array<PullStatus>,
  /**
   * Where there are more: the value of `continue` for the next page.
   */
  continue?: string,
};

/**
 * `GET /api/v1/nodes`.
 */
export type NodeList = {
  /**
   * The life of the server.
   */
  epoch: string,
  /**
   * Where in the server's changes this was true.
   */
  seq: number,
  /**
   * The server's clock.
   */
  now: string,
  /**
   * The nodes, in the order of their names.
   */
  nodes: Array<NodeStatus>,
};

/**
 * One node, and the sums over its live pulls.
 */
export type NodeStatus = {
  /**
   * Its name.
   */
  name: string,
  /**
   * Whether its agent is heard.
   */
  state: NodeState,
  /**
   * Set where the server keeps it no more: only in a [`Frame`](super::Frame).
   */
  removed?: boolean,
  /**
   * When its agent was last heard, by the server's clock.
   */
  lastReportAt: string,
  /**
   * The version of its agent.
   */
  agentVersion?: string,
  /**
   * Which runtime pulls.
   */
  runtimeVersion?: string,
  /**
   * How far the server's clock is ahead of the node's, in milliseconds, as near as reports tell it.
   */
  clockOffsetMs?: number,
  /**
   * Pulls that are going on.
   */
  live: number,
  /**
   * Pulls that ended and are still known.
   */
  ended: number,
  /**
   * Bytes to download, of live pulls whose sizes are known; a layer that several share counts once.
   */
  toDownloadBytes: number,
  /**
   * What of them is here.
   */
  downloadedBytes: number,
  /**
   * How fast bytes come, over all.
   */
  bytesPerSec?: number,
};

/**
 * `GET /api/v1/images`.
 */
export type ImageList = {
  /**
   * The life of the server.
   */
  epoch: string,
  /**
   * Where in the server's changes this was true.
   */
  seq: number,
  /**
   * The server's clock.
   */
  now: string,
  /**
   * The images of all known pulls, in the order of their names.
   */
  images: Array<ImageStatus>,
};

/**
 * One image, and what its pulls are doing.
 */
export type ImageStatus = {
  /**
   * The best name that any of its pulls knows: the whole name, or the repository, or the digest.
   */
  name: string,
  /**
   * The digest that the name points to.
   */
  rootDigest?: string,
  /**
   * What it weighs, compressed.
   */
  totalBytes?: number,
  /**
   * How many of its pulls are in each phase, by its word.
   */
  phases: { [key in string]: number },
  /**
   * How many nodes pull it or pulled it.
   */
  nodes: number,
};

/**
 * `GET /api/v1/pods`: the pods that wait for an image, and for about a minute those that did.
 */
export type PodList = {
  /**
   * The life of the server.
   */
  epoch: string,
  /**
   * Where in the server's changes this was true.
   */
  seq: number,
  /**
   * The server's clock.
   */
  now: string,
  /**
   * Whether the server hears what it rests on.
   */
  cluster: ClusterStatus,
  /**
   * The pods, in the order of their namespaces and names.
   */
  pods: Array<PodStatus>,
  /**
   * Where there are more: the value of `continue` for the next page.
   */
  continue?: string,
};

/**
 * Whether a server hears of pods, and of what kubelets say.
 */
export type ClusterStatus = {
  /**
   * Whether it hears of pods.
   */
  pods: SourceState,
  /**
   * Whether it hears of the kubelets' events.
   */
  events: SourceState,
  /**
   * Why it does not hear of pods, for people.
   */
  podsReason?: string,
  /**
   * Why it does not hear of events, for people.
   */
  eventsReason?: string,
};

/**
 * One pod: what it waits for, and how much longer.
 */
export type PodStatus = {
  /**
   * Its namespace.
   */
  namespace: string,
  /**
   * Its name.
   */
  podName: string,
  /**
   * Its uid.
   */
  uid: string,
  /**
   * The node that it is on.
   */
  nodeName: string,
  /**
   * Whether all its images are there.
   */
  ready: boolean,
  /**
   * Whether it gets on: something that it waits for moves, so whoever waits for it should go on
   * waiting.
   */
  moving: boolean,
  /**
   * How it stands, in one sentence for people.
   */
  summary: string,
  /**
   * How much longer until all its images are there, by the best guess; absent where one of them cannot
   * be guessed.
   */
  etaSeconds?: number,
  /**
   * How much longer at least: what of it can be told.
   */
  etaLowSeconds?: number,
  /**
   * Its images in the order in which the kubelet takes them; those that are there too.
   */
  images: Array<PodImage>,
};

/**
 * One image that a pod needs.
 */
export type PodImage = {
  /**
   * The container or the volume.
   */
  container: string,
  /**
   * Which of these it is.
   */
  kind: SlotKind,
  /**
   * The image, as the pod names it.
   */
  image: string,
  /**
   * How it stands with it.
   */
  state: ImageState,
  /**
   * The id of the pull that it waits for, or last waited for.
   */
  pull?: string,
  /**
   * Which try it is; the first is 1.
   */
  attempt?: number,
  /**
   * What Kubernetes says of it: `ContainerCreating`, `ImagePullBackOff`.
   */
  waitingReason?: string,
  /**
   * Why the last try failed, where it did.
   */
  failure?: Failure,
  /**
   * How much longer it takes, by the best guess.
   */
  etaSeconds?: number,
};

/**
 * `GET /api/v1/namespaces/{namespace}/pods/{pod}/pulls`: one pod with its pulls.
 */
export type PodPulls = {
  /**
   * The life of the server.
   */
  epoch: string,
  /**
   * Where in the server's changes this was true.
   */
  seq: number,
  /**
   * The server's clock.
   */
  now: string,
  /**
   * The pod.
   */
  pod: PodStatus,
  /**
   * The pulls that its images name, in the order of the images; without their layers.
   */
  pulls: Array<PullStatus>,
};

/**
 * The event `end` of a pod that is followed: nothing more comes.
 */
export type PodEnd = {
  /**
   * Why.
   */
  reason: PodEndReason,
  /**
   * Where in the server's changes this was true.
   */
  seq: number,
  /**
   * The server's clock.
   */
  now: string,
};

/**
 * `GET /api/v1/server`.
 */
export type ServerStatus = {
  /**
   * The life of the server.
   */
  epoch: string,
  /**
   * Where in the server's changes this was true.
   */
  seq: number,
  /**
   * The server's clock.
   */
  now: string,
  /**
   * Its version and revision, for people: `0.1.0 (0123456789ab)`.
   */
  version: string,
  /**
   * Another one for each build of the page, so that a page knows that it is older than its server;
   * absent where the server has no page.
   */
  page?: string,
  /**
   * What people call the cluster; absent where nobody said it.
   */
  clusterName?: string,
  /**
   * When this life of the server began. What ended before, it knows by reports alone.
   */
  startedAt: string,
  /**
   * How long a pull that ended is kept.
   */
  keepsEndedSeconds: number,
  /**
   * Whether it hears of pods, and of what kubelets say.
   */
  cluster: ClusterStatus,
  /**
   * How fast bytes came to all nodes.
   */
  throughput: Throughput,
};

/**
 * How fast bytes came to all nodes together, in equal steps until now: 15 minutes of them at most, and
 * none from before the server started.
 */
export type Throughput = {
  /**
   * From one value to the next.
   */
  stepSeconds: number,
  /**
   * When the last value was taken, by the server's clock; absent where there is none yet.
   */
  endsAt?: string,
  /**
   * The values, oldest first: the sum over the nodes whose speed was known; null where that was none.
   */
  bytesPerSec: Array<number | null>,
};

/**
 * Why a request was refused, as RFC 9457 has it: `application/problem+json`.
 */
export type Problem = {
  /**
   * The status of the answer.
   */
  status: number,
  /**
   * What is wrong, the same for each request with this fault.
   */
  title: string,
  /**
   * What is wrong with this one, and what to do.
   */
  detail?: string,
  /**
   * One word for programs: `too_large`.
   */
  reason: string,
};

/**
 * What a pull is doing, or how it ended.
 */
export type Phase = "queued" | "resolving" | "downloading" | "extracting" | "completed" | "failed" | "cancelled" | "unknown";

/**
 * How a pull ended.
 */
export type Outcome = "completed" | "failed" | "cancelled" | "unknown";

/**
 * What a layer is doing.
 */
export type LayerState = "waiting" | "downloading" | "downloaded" | "extracting" | "complete" | "cached" | "remote";

/**
 * What there is to wait for.
 */
export type WaitingKind = "download_slot" | "shared_layer" | "parent_layer" | "registry" | "kubelet_queue";

/**
 * How it is known that a pull is what a pod waits for; each is better than the one before.
 */
export type LinkEvidence = "only_candidate" | "event" | "learned_tag" | "digest" | "image_record";

/**
 * What of a pod wants an image.
 */
export type SlotKind = "volume" | "init" | "sidecar" | "container" | "ephemeral";

/**
 * How it stands with one image of a pod.
 */
export type ImageState = "pending" | "queued" | "pulling" | "failed" | "present";

/**
 * Whether a server hears of a source: of pods, or of what kubelets say.
 */
export type SourceState = "live" | "listing" | "forbidden" | "unauthorized" | "unreachable" | "odd" | "off";

/**
 * Why a pod is followed no more.
 */
export type PodEndReason = "ready" | "gone";

/**
 * What the unpacking part of the time left rests on.
 */
export type EtaBasis = "learned" | "assumed";

/**
 * Why a pull failed.
 */
export type FailureReason = "not_found" | "unauthorized" | "rate_limited" | "kubelet_qps" | "registry_error" | "dns" | "connection_refused" | "timeout" | "tls" | "proxy" | "no_space" | "no_matching_platform" | "digest_mismatch" | "signature" | "invalid_name" | "never_pull" | "progress_timeout" | "runtime_restarted" | "cancelled" | "unexplained" | "other";

/**
 * Whether a node's agent is heard.
 */
export type NodeState = "live" | "lost" | "conflict";

/**
 * What happened to a pull or a layer.
 */
export type EventType = "pull.started" | "pull.progress" | "pull.completed" | "pull.failed" | "layer.started" | "layer.progress" | "layer.completed";
