// Generated from pulltrace-core by `cargo run -p pulltrace-core --all-features --example generate`. Do not edit.
//
// Within version 1, fields and enum values are only added: newer servers may send more.

/**
 * A pull at one moment.
 *
 */
export type PullStatus = {
  /**
   * The id, which never changes and is safe in a URL path.
   */
  id: string,
  /**
   * The number that frames use for the pull; valid until the server restarts.
   */
  row?: number,
  /**
   * The node of the pull.
   */
  nodeName: string,
  /**
   * The full image name with its tag or digest, if known.
   */
  imageRef?: string,
  /**
   * Host (without port) and path of the image, known before the full name.
   */
  repository?: string,
  /**
   * The digest that the image name points to: that of an index, or of the only manifest.
   */
  rootDigest?: string,
  /**
   * The digest of the manifest that containers run.
   */
  manifestDigest?: string,
  /**
   * The platform, e.g. `linux/amd64`, if the image declares it.
   */
  platform?: string,
  /**
   * The pods that wait or waited for it; absent if none are known.
   */
  pods?: Array<PodLink>,
  /**
   * The pods that may be waiting for it, if the evidence does not decide between several images.
   */
  candidates?: Array<PodLink>,
  /**
   * The number of the attempt for this image and pod, starting at 1.
   */
  attempt?: number,
  /**
   * The id of the announced pull that this one replaces: a row with that id is the same pull.
   */
  supersedes?: string,
  /**
   * The phase, or the outcome of an ended pull.
   */
  phase: Phase,
  /**
   * The outcome; absent for a live pull.
   */
  outcome?: Outcome,
  /**
   * Why it failed, if it did.
   */
  failure?: Failure,
  /**
   * Why it failed, as one text for display.
   */
  error?: string,
  /**
   * The current wait, if no part of the pull makes progress.
   */
  waitingOn?: WaitingOn,
  /**
   * The progress, 0 to 100. It never decreases, and is 100 only for a completed pull.
   */
  percent?: number,
  /**
   * True if the sizes are known. They are exact, and known once the manifest is.
   */
  totalKnown: boolean,
  /**
   * The compressed size of the image.
   */
  totalBytes?: number,
  /**
   * Bytes of `total_bytes` that were on the node before, or are served remotely.
   */
  cachedBytes?: number,
  /**
   * Bytes to download, by this pull or another one: `total_bytes` minus `cached_bytes`.
   */
  toDownloadBytes?: number,
  /**
   * Bytes of `to_download_bytes` that are present.
   */
  downloadedBytes?: number,
  /**
   * Compressed bytes to unpack, by this pull or another one: all layers but those that were
   * unpacked before, or are served remotely.
   */
  toExtractBytes?: number,
  /**
   * Bytes of `to_extract_bytes` that are unpacked.
   */
  extractedBytes?: number,
  /**
   * Downloaded bytes that had to be fetched again.
   */
  wastedBytes?: number,
  /**
   * The download rate; absent if it is unknown, or no bytes are missing.
   */
  bytesPerSec?: number,
  /**
   * The estimated remaining time.
   */
  etaSeconds?: number,
  /**
   * The optimistic bound of the remaining time.
   */
  etaLowSeconds?: number,
  /**
   * The pessimistic bound of the remaining time.
   */
  etaHighSeconds?: number,
  /**
   * The basis of the unpacking part of the remaining time.
   */
  etaBasis?: EtaBasis,
  /**
   * When the kubelet announced it, before its queue.
   */
  queuedAt?: string,
  /**
   * When it started; for a queued pull, when it was announced.
   */
  startedAt: string,
  /**
   * When the manifest was first observed, which starts the download.
   */
  downloadingAt?: string,
  /**
   * When all bytes were first observed.
   */
  extractingAt?: string,
  /**
   * When it ended, with any outcome.
   */
  completedAt?: string,
  /**
   * The time of the last progress, if the pull is stalled.
   */
  stalledSince?: string,
  /**
   * True if it is far slower than usual for its registry on its node.
   */
  slow?: boolean,
  /**
   * Since when no source has been able to observe it.
   */
  staleSince?: string,
  /**
   * The duration as measured by the kubelet.
   */
  kubelet?: KubeletTimes,
  /**
   * The number of layers; absent until the manifest is known.
   */
  layerCount?: number,
  /**
   * The number of layers that have no work left.
   */
  layersDone?: number,
  /**
   * The layers, lowest first; absent until the manifest is known.
   */
  layers?: Array<LayerStatus>,
};

/**
 * A layer of a pull.
 */
export type LayerStatus = {
  /**
   * The digest of its blob.
   */
  digest: string,
  /**
   * The media type according to the manifest.
   */
  mediaType?: string,
  /**
   * The build step that created it, if the image contains it.
   */
  createdBy?: string,
  /**
   * The state.
   */
  state: LayerState,
  /**
   * The compressed size.
   */
  totalBytes: number,
  /**
   * Bytes that are present; absent if the layer is used without its bytes.
   */
  downloadedBytes?: number,
  /**
   * True if all bytes were on the node before the pull started and only have to be unpacked.
   */
  blobCached?: boolean,
  /**
   * Uncompressed bytes written by unpacking so far, if the runtime reports them.
   */
  unpackedBytes?: number,
  /**
   * The download rate; absent if it is unknown or the download has ended.
   */
  bytesPerSec?: number,
  /**
   * The current wait, if any.
   */
  waitingOn?: WaitingOn,
  /**
   * When the first byte was observed.
   */
  startedAt?: string,
  /**
   * When all bytes were first observed.
   */
  downloadedAt?: string,
  /**
   * When unpacking was first observed.
   */
  extractingAt?: string,
  /**
   * When it was first observed unpacked.
   */
  completedAt?: string,
};

/**
 * Why a pull failed.
 */
export type Failure = {
  /**
   * The reason, e.g. `unexplained`. Others may be added.
   */
  reason: FailureReason,
  /**
   * The error message, for display.
   */
  message?: string,
  /**
   * Advice in one line. Agents do not send it.
   */
  hint?: string,
  /**
   * When the kubelet retries, according to its back-off.
   */
  nextRetryAt?: string,
};

/**
 * A wait of a pull or layer.
 */
export type WaitingOn = {
  /**
   * The kind of wait.
   */
  kind: WaitingKind,
  /**
   * When the wait was first observed.
   */
  since: string,
  /**
   * The id of the pull that must make progress first, if any.
   */
  pull?: string,
  /**
   * The digest of the layer that must make progress first, if any.
   */
  layer?: string,
  /**
   * The number of pulls ahead in the queue, if queued.
   */
  ahead?: number,
  /**
   * The estimated remaining wait, if known.
   */
  etaSeconds?: number,
};

/**
 * A container or volume of a pod that waits, or waited, for a pull.
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
   * The pod's UID.
   */
  uid: string,
  /**
   * The container, or the image volume.
   */
  container: string,
  /**
   * The requested image.
   */
  image: string,
  /**
   * The evidence for the link; absent for a candidate.
   */
  evidence?: LinkEvidence,
};

/**
 * The duration of a pull as measured by the kubelet.
 */
export type KubeletTimes = {
  /**
   * The duration of the pull.
   */
  pullSeconds: number,
  /**
   * The duration including the wait in the kubelet's queue; older kubelets do not report it.
   */
  withWaitingSeconds?: number,
  /**
   * The image size reported by the kubelet.
   */
  imageBytes?: number,
  /**
   * True if pulltrace's own measurement is within 20 % or one second of it; absent if pulltrace
   * did not observe the whole pull.
   */
  agrees?: boolean,
};

/**
 * A change, as streamed by `GET /api/v1/events`.
 */
export type PullEvent = {
  /**
   * [`SCHEMA_VERSION`](super::SCHEMA_VERSION).
   */
  schemaVersion: string,
  /**
   * When the server sent the event, by its own clock.
   */
  timestamp: string,
  /**
   * The type of change.
   */
  type: EventType,
  /**
   * The node.
   */
  nodeName: string,
  /**
   * The latest state of the pull; without layers in an event about a layer.
   */
  pull?: PullStatus,
  /**
   * The layer, if the event is about one.
   */
  layer?: LayerStatus,
};

/**
 * Changes since the reader's last frame: `GET /api/v1/events?format=frame`.
 *
 * Apply in this order: `rows`, `up`, `rm`, `nodes`.
 */
export type Frame = {
  /**
   * The reader's position in the server's sequence of changes.
   */
  seq: number,
  /**
   * The server's clock.
   */
  now: string,
  /**
   * Rows that are new, or in which more than the progress changed. Each replaces the row with
   * its id.
   */
  rows?: Array<PullStatus>,
  /**
   * The progress of the other rows that changed.
   */
  up?: Array<PullMotion>,
  /**
   * The ids of rows that the server no longer keeps.
   */
  rm?: Array<string>,
  /**
   * Nodes that changed. Each replaces the node with its name; a `removed` node is deleted.
   */
  nodes?: Array<NodeStatus>,
};

/**
 * The progress of a pull. It replaces all of these fields of its row: an absent field is unknown.
 *
 * Serialised as an array, as most of the data in a stream is progress: `[row, percent,
 * downloadedBytes, extractedBytes, bytesPerSec, etaSeconds, etaLowSeconds, etaHighSeconds,
 * layersDone, layers]`, with null for unknown values.
 */
export type PullMotion = [row: number, percent: number | null, downloadedBytes: number | null, extractedBytes: number | null, bytesPerSec: number | null, etaSeconds: number | null, etaLowSeconds: number | null, etaHighSeconds: number | null, layersDone: number | null, layers: Array<[index: number, downloadedBytes: number | null, unpackedBytes: number | null, bytesPerSec: number | null]>];

/**
 * `GET /api/v1/pulls`: live pulls, and ended pulls until they expire.
 */
export type PullList = {
  /**
   * The server's epoch, which changes on every restart.
   */
  epoch: string,
  /**
   * The position in the server's changes: `/api/v1/events?since=<epoch>-<seq>` continues from
   * it.
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
   * If there are more, the value of `continue` for the next page.
   */
  continue?: string,
};

/**
 * `GET /api/v1/nodes`.
 */
export type NodeList = {
  /**
   * The server's epoch, which changes on every restart.
   */
  epoch: string,
  /**
   * The position in the server's changes.
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
 * A node, with totals over its live pulls.
 */
export type NodeStatus = {
  /**
   * The name.
   */
  name: string,
  /**
   * The state of its agent.
   */
  state: NodeState,
  /**
   * True if the server no longer keeps the node; only in a [`Frame`](super::Frame).
   */
  removed?: boolean,
  /**
   * When its agent last reported, by the server's clock.
   */
  lastReportAt: string,
  /**
   * The version of its agent.
   */
  agentVersion?: string,
  /**
   * The name and version of its container runtime.
   */
  runtimeVersion?: string,
  /**
   * The lead of the server's clock over the node's in milliseconds, estimated from reports.
   */
  clockOffsetMs?: number,
  /**
   * The number of live pulls.
   */
  live: number,
  /**
   * The number of ended pulls that are still kept.
   */
  ended: number,
  /**
   * Bytes to download, for live pulls with known sizes. A layer shared by several pulls counts
   * once.
   */
  toDownloadBytes: number,
  /**
   * Bytes of `to_download_bytes` that are present.
   */
  downloadedBytes: number,
  /**
   * The download rate of the node.
   */
  bytesPerSec?: number,
};

/**
 * `GET /api/v1/images`.
 */
export type ImageList = {
  /**
   * The server's epoch, which changes on every restart.
   */
  epoch: string,
  /**
   * The position in the server's changes.
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
 * An image, with the phases of its pulls.
 */
export type ImageStatus = {
  /**
   * The best name known from its pulls: a full name, the repository, or the digest.
   */
  name: string,
  /**
   * The digest that the name points to.
   */
  rootDigest?: string,
  /**
   * The compressed size.
   */
  totalBytes?: number,
  /**
   * The number of its pulls in each phase, by wire name.
   */
  phases: { [key in string]: number },
  /**
   * The number of nodes that pull it or have pulled it.
   */
  nodes: number,
};

/**
 * `GET /api/v1/pods`: the pods that wait for an image, or did within the last minute or so.
 */
export type PodList = {
  /**
   * The server's epoch, which changes on every restart.
   */
  epoch: string,
  /**
   * The position in the server's changes.
   */
  seq: number,
  /**
   * The server's clock.
   */
  now: string,
  /**
   * The state of the sources that the list is based on.
   */
  cluster: ClusterStatus,
  /**
   * The pods, ordered by namespace and name.
   */
  pods: Array<PodStatus>,
  /**
   * If there are more, the value of `continue` for the next page.
   */
  continue?: string,
};

/**
 * The state of a server's Kubernetes sources.
 */
export type ClusterStatus = {
  /**
   * The state of the pod source.
   */
  pods: SourceState,
  /**
   * The state of the source of kubelet events.
   */
  events: SourceState,
  /**
   * Why pods are not available, for display.
   */
  podsReason?: string,
  /**
   * Why events are not available, for display.
   */
  eventsReason?: string,
};

/**
 * A pod, the images it waits for, and the remaining time.
 */
export type PodStatus = {
  /**
   * The namespace.
   */
  namespace: string,
  /**
   * The name.
   */
  podName: string,
  /**
   * The UID.
   */
  uid: string,
  /**
   * The node of the pod.
   */
  nodeName: string,
  /**
   * True if all its images are present.
   */
  ready: boolean,
  /**
   * True if anything that the pod waits for makes progress, so that it is worth waiting.
   */
  moving: boolean,
  /**
   * The status of the pod in one sentence, for display.
   */
  summary: string,
  /**
   * The estimated remaining time until all images are present; absent if that of one image is
   * unknown.
   */
  etaSeconds?: number,
  /**
   * The minimum remaining time: the part that can be estimated.
   */
  etaLowSeconds?: number,
  /**
   * The images in the order in which the kubelet pulls them, including those that are present.
   */
  images: Array<PodImage>,
};

/**
 * An image that a pod needs.
 */
export type PodImage = {
  /**
   * The name of the container or volume.
   */
  container: string,
  /**
   * The kind of container or volume.
   */
  kind: SlotKind,
  /**
   * The image, as the pod names it.
   */
  image: string,
  /**
   * The state of the image.
   */
  state: ImageState,
  /**
   * The id of the pull that the pod waits for, or waited for last.
   */
  pull?: string,
  /**
   * The number of the attempt, starting at 1.
   */
  attempt?: number,
  /**
   * The waiting reason in the pod's status: `ContainerCreating`, `ImagePullBackOff`.
   */
  waitingReason?: string,
  /**
   * Why the last attempt failed, if it did.
   */
  failure?: Failure,
  /**
   * The estimated remaining time.
   */
  etaSeconds?: number,
};

/**
 * `GET /api/v1/namespaces/{namespace}/pods/{pod}/pulls`: a pod with its pulls.
 */
export type PodPulls = {
  /**
   * The server's epoch, which changes on every restart.
   */
  epoch: string,
  /**
   * The position in the server's changes.
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
   * The pulls that its images refer to, in the order of the images, without their layers.
   */
  pulls: Array<PullStatus>,
};

/**
 * The `end` event of a followed pod, which is the last one.
 */
export type PodEnd = {
  /**
   * The reason.
   */
  reason: PodEndReason,
  /**
   * The position in the server's changes.
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
   * The server's epoch, which changes on every restart.
   */
  epoch: string,
  /**
   * The position in the server's changes.
   */
  seq: number,
  /**
   * The server's clock.
   */
  now: string,
  /**
   * The version and revision, for display: `0.1.0 (0123456789ab)`.
   */
  version: string,
  /**
   * A value that changes with each build of the web page, so that a loaded page notices a newer
   * server; absent if the server has no page.
   */
  page?: string,
  /**
   * The display name of the cluster, if configured.
   */
  clusterName?: string,
  /**
   * When the server started. Pulls that ended earlier are known only from reports.
   */
  startedAt: string,
  /**
   * The retention period of ended pulls.
   */
  keepsEndedSeconds: number,
  /**
   * The state of the server's Kubernetes sources.
   */
  cluster: ClusterStatus,
  /**
   * The download rate of all nodes.
   */
  throughput: Throughput,
};

/**
 * The download rate of all nodes together, in equal steps until now. It covers at most 15 minutes,
 * and starts with the server.
 */
export type Throughput = {
  /**
   * The time between two values.
   */
  stepSeconds: number,
  /**
   * When the last value was measured, by the server's clock; absent before the first.
   */
  endsAt?: string,
  /**
   * The values, oldest first: the sum over the nodes whose rate was known, or null if none was.
   */
  bytesPerSec: Array<number | null>,
};

/**
 * The error of a request in the format of RFC 9457: `application/problem+json`.
 */
export type Problem = {
  /**
   * The HTTP status.
   */
  status: number,
  /**
   * The error; the same for every request that has it.
   */
  title: string,
  /**
   * Details about this request, and advice.
   */
  detail?: string,
  /**
   * The reason for programs, e.g. `too_large`.
   */
  reason: string,
};

/**
 * The phase of a pull, including its outcome.
 */
export type Phase = "queued" | "resolving" | "downloading" | "extracting" | "completed" | "failed" | "cancelled" | "unknown";

/**
 * The outcome of a pull.
 */
export type Outcome = "completed" | "failed" | "cancelled" | "unknown";

/**
 * The state of a layer.
 */
export type LayerState = "waiting" | "downloading" | "downloaded" | "extracting" | "complete" | "cached" | "remote";

/**
 * The kind of a wait.
 */
export type WaitingKind = "download_slot" | "shared_layer" | "parent_layer" | "registry" | "kubelet_queue";

/**
 * The evidence that a pull is the one a pod waits for, weakest first.
 */
export type LinkEvidence = "only_candidate" | "event" | "learned_tag" | "digest" | "image_record";

/**
 * The kind of container or volume that needs an image.
 */
export type SlotKind = "volume" | "init" | "sidecar" | "container" | "ephemeral";

/**
 * The state of one image of a pod.
 */
export type ImageState = "pending" | "queued" | "pulling" | "failed" | "present";

/**
 * The state of a Kubernetes source of the server: pods, or kubelet events.
 */
export type SourceState = "live" | "listing" | "forbidden" | "unauthorized" | "unreachable" | "odd" | "off";

/**
 * Why the stream of a pod ended.
 */
export type PodEndReason = "ready" | "gone";

/**
 * The basis of the unpacking part of the remaining time.
 */
export type EtaBasis = "learned" | "assumed";

/**
 * Why a pull failed.
 */
export type FailureReason = "not_found" | "unauthorized" | "rate_limited" | "kubelet_qps" | "registry_error" | "dns" | "connection_refused" | "timeout" | "tls" | "proxy" | "no_space" | "no_matching_platform" | "digest_mismatch" | "signature" | "invalid_name" | "never_pull" | "progress_timeout" | "runtime_restarted" | "cancelled" | "unexplained" | "other";

/**
 * The state of a node's agent.
 */
export type NodeState = "live" | "lost" | "conflict";

/**
 * The type of a change to a pull or layer.
 */
export type EventType = "pull.started" | "pull.progress" | "pull.completed" | "pull.failed" | "layer.started" | "layer.progress" | "layer.completed";
