//! The enums of version 1. Unknown values are read as `Other`.

use serde::{Deserialize, Serialize};

/// The phase of a pull, including its outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Phase {
    /// The kubelet announced the pull, but the runtime has not started it.
    Queued,
    /// The manifest is not known yet.
    Resolving,
    /// Layer bytes are missing.
    Downloading,
    /// All bytes are present; layers still have to be unpacked.
    Extracting,
    /// The pull ended, and the image is present.
    Completed,
    /// The pull ended without the image.
    Failed,
    /// The caller or the runtime cancelled the pull.
    Cancelled,
    /// It is unknown how the pull ended, or whether it did.
    Unknown,
    /// A value that this version does not know.
    #[serde(other)]
    #[cfg_attr(feature = "ts", ts(skip))]
    Other,
}

/// The outcome of a pull.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Outcome {
    /// The image is present.
    Completed,
    /// The image is absent.
    Failed,
    /// The caller or the runtime cancelled the pull.
    Cancelled,
    /// There is no evidence.
    Unknown,
    /// A value that this version does not know.
    #[serde(other)]
    #[cfg_attr(feature = "ts", ts(skip))]
    Other,
}

/// The state of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum LayerState {
    /// No bytes have arrived yet.
    Waiting,
    /// Some bytes have arrived, others are missing.
    Downloading,
    /// All bytes are present; unpacking has not started.
    Downloaded,
    /// All bytes are present and are being unpacked.
    Extracting,
    /// Unpacked during this pull.
    Complete,
    /// Unpacked before this pull started.
    Cached,
    /// Served by a lazy snapshotter without its bytes.
    Remote,
    /// A value that this version does not know.
    #[serde(other)]
    #[cfg_attr(feature = "ts", ts(skip))]
    Other,
}

/// The kind of a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum WaitingKind {
    /// The runtime already fetches as many blobs as it may on this node.
    DownloadSlot,
    /// Another pull fetches or unpacks a layer that this one needs too.
    SharedLayer,
    /// A lower layer of the same image must be unpacked first.
    ParentLayer,
    /// The registry has not returned the manifest yet.
    Registry,
    /// The kubelet limits concurrent image pulls, and others are ahead in its queue.
    KubeletQueue,
    /// A value that this version does not know.
    #[serde(other)]
    #[cfg_attr(feature = "ts", ts(skip))]
    Other,
}

/// The evidence that a pull is the one a pod waits for, weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum LinkEvidence {
    /// The only image that can match among those that pods on the node wait for, according to the
    /// pod specs.
    OnlyCandidate,
    /// The kubelet announced this image, and no other pull can match.
    Event,
    /// The pulled digest was seen under this name before, on any node.
    LearnedTag,
    /// The pod references the pulled digest.
    Digest,
    /// The runtime recorded the finished image under this name.
    ImageRecord,
    /// A value that this version does not know.
    #[serde(other)]
    #[cfg_attr(feature = "ts", ts(skip))]
    Other,
}

/// The kind of container or volume that needs an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SlotKind {
    /// An image volume.
    Volume,
    /// An init container.
    Init,
    /// An init container that keeps running.
    Sidecar,
    /// A container.
    Container,
    /// An ephemeral container, which was added to a running pod.
    Ephemeral,
    /// A value that this version does not know.
    #[serde(other)]
    #[cfg_attr(feature = "ts", ts(skip))]
    Other,
}

/// The state of one image of a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ImageState {
    /// The kubelet has not requested it yet: it processes containers in order.
    Pending,
    /// The kubelet announced the pull, and others are ahead.
    Queued,
    /// It is being pulled.
    Pulling,
    /// The last attempt failed, and the kubelet will retry.
    Failed,
    /// It is on the node.
    Present,
    /// A value that this version does not know.
    #[serde(other)]
    #[cfg_attr(feature = "ts", ts(skip))]
    Other,
}

/// The basis of the unpacking part of the remaining time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum EtaBasis {
    /// Layers with this compression were unpacked on this node before.
    Learned,
    /// No such measurement yet; a typical speed is assumed.
    Assumed,
    /// A value that this version does not know.
    #[serde(other)]
    #[cfg_attr(feature = "ts", ts(skip))]
    Other,
}

/// The state of a node's agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum NodeState {
    /// The agent reports.
    Live,
    /// The agent has been silent for longer than it announced. The state of its pulls is unknown.
    Lost,
    /// Two agents report under this name. The older one is used.
    Conflict,
    /// A value that this version does not know.
    #[serde(other)]
    #[cfg_attr(feature = "ts", ts(skip))]
    Other,
}

/// Why the stream of a pod ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum PodEndReason {
    /// All its images are present.
    Ready,
    /// The pod was deleted, or no longer waits for an image.
    Gone,
    /// A value that this version does not know.
    #[serde(other)]
    #[cfg_attr(feature = "ts", ts(skip))]
    Other,
}

/// The state of a Kubernetes source of the server: pods, or kubelet events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SourceState {
    /// Changes are being received.
    Live,
    /// The initial list is being received and is not complete yet.
    Listing,
    /// The permission to list or watch is missing.
    Forbidden,
    /// The API server rejected the credentials.
    Unauthorized,
    /// The API server cannot be reached.
    Unreachable,
    /// The response of the API server is malformed.
    Odd,
    /// The server does not use this source.
    Off,
    /// A value that this version does not know.
    #[serde(other)]
    #[cfg_attr(feature = "ts", ts(skip))]
    Other,
}

/// Why a pull failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FailureReason {
    /// The registry has no such tag, digest or layer, or hides it from this client.
    NotFound,
    /// The registry rejected the credentials, or they grant no access (401, 403).
    Unauthorized,
    /// The registry limits the rate of pulls (429).
    RateLimited,
    /// The kubelet throttled the pull (registryPullQPS). No registry was contacted.
    KubeletQps,
    /// The registry returned a server error (5xx).
    RegistryError,
    /// The registry's host name could not be resolved.
    Dns,
    /// The registry could not be reached: the port is closed, or there is no route.
    ConnectionRefused,
    /// The registry, or a service in front of it, did not answer in time.
    Timeout,
    /// The TLS handshake failed: an untrusted certificate, or plain HTTP instead of HTTPS.
    Tls,
    /// The node's proxy refused the request.
    Proxy,
    /// The node's disk is full, or a quota is exceeded.
    NoSpace,
    /// The image does not support the node's platform.
    NoMatchingPlatform,
    /// The content does not match the manifest: different, missing or extra bytes.
    DigestMismatch,
    /// The node's signature or image policy rejected the image.
    Signature,
    /// The image name is invalid.
    InvalidName,
    /// The image is not on the node, and the pod's pull policy is `Never`.
    NeverPull,
    /// The runtime received no bytes within its progress timeout.
    ProgressTimeout,
    /// The runtime restarted or stopped during the pull.
    RuntimeRestarted,
    /// The caller or the runtime cancelled the pull.
    Cancelled,
    /// The pull ended without its image, and no reason was reported.
    Unexplained,
    /// Any other failure, or a reason that this version does not know.
    #[serde(other)]
    Other,
}
