//! The words of version 1. A word that a reader does not know is read as `Other`.

use serde::{Deserialize, Serialize};

/// What a pull is doing, or how it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Phase {
    /// The kubelet announced it, and the runtime has not begun.
    Queued,
    /// The manifest is not here yet.
    Resolving,
    /// Bytes of layers are still to come.
    Downloading,
    /// All bytes are here; layers are still to be unpacked.
    Extracting,
    /// It is over, and the image is there.
    Completed,
    /// It is over, and the image is not there.
    Failed,
    /// Somebody called it off.
    Cancelled,
    /// There is no evidence of how it ended, or whether it did.
    Unknown,
    /// A word that this version does not know.
    #[serde(other)]
    #[cfg_attr(feature = "ts", ts(skip))]
    Other,
}

/// How a pull ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Outcome {
    /// The image is there.
    Completed,
    /// The image is not there.
    Failed,
    /// Somebody called it off.
    Cancelled,
    /// There is no evidence.
    Unknown,
    /// A word that this version does not know.
    #[serde(other)]
    #[cfg_attr(feature = "ts", ts(skip))]
    Other,
}

/// What a layer is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum LayerState {
    /// No byte has come yet.
    Waiting,
    /// Some bytes are here, and more are to come.
    Downloading,
    /// All bytes are here; unpacking has not begun.
    Downloaded,
    /// All bytes are here, and they are being unpacked.
    Extracting,
    /// Unpacked during this pull.
    Complete,
    /// Unpacked before this pull began.
    Cached,
    /// Served by a lazy snapshotter without its bytes.
    Remote,
    /// A word that this version does not know.
    #[serde(other)]
    #[cfg_attr(feature = "ts", ts(skip))]
    Other,
}

/// What there is to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum WaitingKind {
    /// The runtime fetches as many blobs at once as it may on this node.
    DownloadSlot,
    /// Another pull fetches or unpacks a layer that this one needs too.
    SharedLayer,
    /// A lower layer of the same image must be unpacked first.
    ParentLayer,
    /// The registry has not said yet what the image is made of.
    Registry,
    /// The kubelet pulls one image at a time, or so many, and others came first.
    KubeletQueue,
    /// A word that this version does not know.
    #[serde(other)]
    #[cfg_attr(feature = "ts", ts(skip))]
    Other,
}

/// How it is known that a pull is what a pod waits for; each is better than the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum LinkEvidence {
    /// Of all images that are waited for on the node, only this one can be it: from the specs of pods.
    OnlyCandidate,
    /// The kubelet announced this image, and the pull is the only one that can be it.
    Event,
    /// The digest that is pulled was seen under this name before, on any node.
    LearnedTag,
    /// The pod names the image by the very digest that is pulled.
    Digest,
    /// The runtime recorded the finished image under this name.
    ImageRecord,
    /// A word that this version does not know.
    #[serde(other)]
    #[cfg_attr(feature = "ts", ts(skip))]
    Other,
}

/// What of a pod wants an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SlotKind {
    /// A volume that is an image.
    Volume,
    /// A container that runs before the others, and ends.
    Init,
    /// An init container that goes on running.
    Sidecar,
    /// A container.
    Container,
    /// A container that was added to a running pod.
    Ephemeral,
    /// A word that this version does not know.
    #[serde(other)]
    #[cfg_attr(feature = "ts", ts(skip))]
    Other,
}

/// How it stands with one image of a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ImageState {
    /// The kubelet has not come to it yet: it takes one container after the other.
    Pending,
    /// The kubelet announced it, and others come first.
    Queued,
    /// It is being pulled.
    Pulling,
    /// The last try failed, and the kubelet tries again.
    Failed,
    /// It is on the node.
    Present,
    /// A word that this version does not know.
    #[serde(other)]
    #[cfg_attr(feature = "ts", ts(skip))]
    Other,
}

/// What the unpacking part of the time left rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum EtaBasis {
    /// This node was seen to unpack layers so compressed.
    Learned,
    /// It was not yet: a speed that is usual elsewhere.
    Assumed,
    /// A word that this version does not know.
    #[serde(other)]
    #[cfg_attr(feature = "ts", ts(skip))]
    Other,
}

/// Whether a node's agent is heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum NodeState {
    /// Its agent reports.
    Live,
    /// Its agent has been silent for longer than it announced: what its pulls do is not known.
    Lost,
    /// Two agents report under its name; the older one is believed.
    Conflict,
    /// A word that this version does not know.
    #[serde(other)]
    #[cfg_attr(feature = "ts", ts(skip))]
    Other,
}

/// Why a pod is followed no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum PodEndReason {
    /// All its images are there.
    Ready,
    /// It is gone, or waits for no image any more.
    Gone,
    /// A word that this version does not know.
    #[serde(other)]
    #[cfg_attr(feature = "ts", ts(skip))]
    Other,
}

/// Whether a server hears of a source: of pods, or of what kubelets say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SourceState {
    /// It hears what changes.
    Live,
    /// It is told what there is, and does not know all of it yet.
    Listing,
    /// The permission to list or watch is missing.
    Forbidden,
    /// The API server does not know who asks.
    Unauthorized,
    /// The API server cannot be reached.
    Unreachable,
    /// The API server answers what is not understood.
    Odd,
    /// The server was given no such source.
    Off,
    /// A word that this version does not know.
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
    /// The registry has no such tag, digest or layer, or says so to whom it does not know.
    NotFound,
    /// The registry wants other credentials, or gives these no access: 401, 403.
    Unauthorized,
    /// The registry limits how often may be pulled: 429.
    RateLimited,
    /// The kubelet begins pulls less often than the pods of its node want them. No registry was asked.
    KubeletQps,
    /// The registry has a fault of its own: 5xx.
    RegistryError,
    /// The name of a registry has no address, or no name server told it.
    Dns,
    /// There is no connection to the registry: its port is closed, or no way leads there.
    ConnectionRefused,
    /// The registry, or what stands before it, did not answer in time.
    Timeout,
    /// Node and registry do not agree on a safe connection: a certificate, or plain HTTP against HTTPS.
    Tls,
    /// The proxy of the node does not let the pull through.
    Proxy,
    /// The disk of the node is full, or a quota of it.
    NoSpace,
    /// The image is not made for the platform of the node.
    NoMatchingPlatform,
    /// What came is not what the manifest says: other bytes, or fewer, or more.
    DigestMismatch,
    /// The image is not signed as the node wants it, or whoever judges images there refused it.
    Signature,
    /// The name of the image is none.
    InvalidName,
    /// The image is not on the node, and the pod forbids to pull it.
    NeverPull,
    /// No byte came for as long as the runtime waits for one.
    ProgressTimeout,
    /// The runtime was started anew, or went away, while it pulled.
    RuntimeRestarted,
    /// Somebody called it off: its caller, or the runtime itself.
    Cancelled,
    /// The pull is over, the image is not there, and nobody says why.
    Unexplained,
    /// Something was said, and it is none of these reasons; or a word that this version does not know.
    #[serde(other)]
    Other,
}
