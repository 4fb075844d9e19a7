//! The enums of version 1. Unknown values are read as `Other`.

use serde::{Deserialize, Serialize};

use crate::{eta, pull};

pub use crate::failure::FailureReason;

/// A value that this version does not know, so that the model cannot represent it. A retry does not
/// help.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown value")]
pub struct UnknownVariant;

/// Declares an enum with names, to which later versions may add values.
///
/// With `from`, it has the same values as an enum of the model, and is converted from and to it.
// The names are token trees, as utoipa ignores a name that is passed on as a literal.
macro_rules! wire_enum {
    (
        $(#[$meta:meta])*
        pub enum $Enum:ident {
            $($(#[$variant_meta:meta])* $Variant:ident = $word:tt,)+
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
        #[cfg_attr(feature = "ts", derive(ts_rs::TS))]
        #[non_exhaustive]
        pub enum $Enum {
            $($(#[$variant_meta])* #[serde(rename = $word)] $Variant,)+
            /// A value that this version does not know.
            #[serde(rename = "other", other)]
            #[cfg_attr(feature = "ts", ts(skip))]
            Other,
        }

        words!(@names $Enum { $($Variant = $word,)+ } Other = "other");
    };

    (
        $(#[$meta:meta])*
        pub enum $Enum:ident from $Model:path {
            $($(#[$variant_meta:meta])* $Variant:ident = $word:tt,)+
        }
    ) => {
        wire_enum! {
            $(#[$meta])*
            pub enum $Enum {
                $($(#[$variant_meta])* $Variant = $word,)+
            }
        }

        impl From<$Model> for $Enum {
            fn from(value: $Model) -> Self {
                match value {
                    $(<$Model>::$Variant => Self::$Variant,)+
                }
            }
        }

        impl TryFrom<$Enum> for $Model {
            type Error = UnknownVariant;

            fn try_from(value: $Enum) -> Result<Self, UnknownVariant> {
                match value {
                    $($Enum::$Variant => Ok(Self::$Variant),)+
                    $Enum::Other => Err(UnknownVariant),
                }
            }
        }
    };
}

wire_enum! {
    /// The phase of a pull, including its outcome.
    pub enum Phase {
        /// The kubelet announced the pull, but the runtime has not started it.
        Queued = "queued",
        /// The manifest is not known yet.
        Resolving = "resolving",
        /// Layer bytes are missing.
        Downloading = "downloading",
        /// All bytes are present; layers still have to be unpacked.
        Extracting = "extracting",
        /// The pull ended, and the image is present.
        Completed = "completed",
        /// The pull ended without the image.
        Failed = "failed",
        /// The caller or the runtime cancelled the pull.
        Cancelled = "cancelled",
        /// It is unknown how the pull ended, or whether it did.
        Unknown = "unknown",
    }
}

wire_enum! {
    /// The outcome of a pull.
    pub enum Outcome from crate::pull::Outcome {
        /// The image is present.
        Completed = "completed",
        /// The image is absent.
        Failed = "failed",
        /// The caller or the runtime cancelled the pull.
        Cancelled = "cancelled",
        /// There is no evidence.
        Unknown = "unknown",
    }
}

wire_enum! {
    /// The state of a layer.
    pub enum LayerState from crate::layer::LayerState {
        /// No bytes have arrived yet.
        Waiting = "waiting",
        /// Some bytes have arrived, others are missing.
        Downloading = "downloading",
        /// All bytes are present; unpacking has not started.
        Downloaded = "downloaded",
        /// All bytes are present and are being unpacked.
        Extracting = "extracting",
        /// Unpacked during this pull.
        Complete = "complete",
        /// Unpacked before this pull started.
        Cached = "cached",
        /// Served by a lazy snapshotter without its bytes.
        Remote = "remote",
    }
}

wire_enum! {
    /// The kind of a wait.
    pub enum WaitingKind from crate::wait::WaitingKind {
        /// The runtime already fetches as many blobs as it may on this node.
        DownloadSlot = "download_slot",
        /// Another pull fetches or unpacks a layer that this one needs too.
        SharedLayer = "shared_layer",
        /// A lower layer of the same image must be unpacked first.
        ParentLayer = "parent_layer",
        /// The registry has not returned the manifest yet.
        Registry = "registry",
        /// The kubelet limits concurrent image pulls, and others are ahead in its queue.
        KubeletQueue = "kubelet_queue",
    }
}

wire_enum! {
    /// The evidence that a pull is the one a pod waits for, weakest first.
    pub enum LinkEvidence from crate::link::LinkEvidence {
        /// The only image that can match among those that pods on the node wait for, according to the
        /// pod specs.
        OnlyCandidate = "only_candidate",
        /// The kubelet announced this image, and no other pull can match.
        Event = "event",
        /// The pulled digest was seen under this name before, on any node.
        LearnedTag = "learned_tag",
        /// The pod references the pulled digest.
        Digest = "digest",
        /// The runtime recorded the finished image under this name.
        ImageRecord = "image_record",
    }
}

wire_enum! {
    /// The kind of container or volume that needs an image.
    pub enum SlotKind {
        /// An image volume.
        Volume = "volume",
        /// An init container.
        Init = "init",
        /// An init container that keeps running.
        Sidecar = "sidecar",
        /// A container.
        Container = "container",
        /// An ephemeral container, which was added to a running pod.
        Ephemeral = "ephemeral",
    }
}

wire_enum! {
    /// The state of one image of a pod.
    pub enum ImageState {
        /// The kubelet has not requested it yet: it processes containers in order.
        Pending = "pending",
        /// The kubelet announced the pull, and others are ahead.
        Queued = "queued",
        /// It is being pulled.
        Pulling = "pulling",
        /// The last attempt failed, and the kubelet will retry.
        Failed = "failed",
        /// It is on the node.
        Present = "present",
    }
}

wire_enum! {
    /// The basis of the unpacking part of the remaining time.
    pub enum EtaBasis from crate::eta::EtaBasis {
        /// Layers with this compression were unpacked on this node before.
        Learned = "learned",
        /// No such measurement yet; a typical speed is assumed.
        Assumed = "assumed",
    }
}

wire_enum! {
    /// The state of a node's agent.
    pub enum NodeState {
        /// The agent reports.
        Live = "live",
        /// The agent has been silent for longer than it announced. The state of its pulls is unknown.
        Lost = "lost",
        /// Two agents report under this name. The older one is used.
        Conflict = "conflict",
    }
}

wire_enum! {
    /// Why the stream of a pod ended.
    pub enum PodEndReason {
        /// All its images are present.
        Ready = "ready",
        /// The pod was deleted, or no longer waits for an image.
        Gone = "gone",
    }
}

wire_enum! {
    /// The state of a Kubernetes source of the server: pods, or kubelet events.
    pub enum SourceState {
        /// Changes are being received.
        Live = "live",
        /// The initial list is being received and is not complete yet.
        Listing = "listing",
        /// The permission to list or watch is missing.
        Forbidden = "forbidden",
        /// The API server rejected the credentials.
        Unauthorized = "unauthorized",
        /// The API server cannot be reached.
        Unreachable = "unreachable",
        /// The response of the API server is malformed.
        Odd = "odd",
        /// The server does not use this source.
        Off = "off",
    }
}

wire_enum! {
    /// The type of a change to a pull or layer.
    pub enum EventType {
        /// The pull is new to the reader.
        PullStarted = "pull.started",
        /// The pull changed.
        PullProgress = "pull.progress",
        /// The pull ended, and the image is present.
        PullCompleted = "pull.completed",
        /// The pull ended, and the image is absent or this is unknown: see `outcome`.
        PullFailed = "pull.failed",
        /// The first byte of the layer arrived.
        LayerStarted = "layer.started",
        /// The layer changed.
        LayerProgress = "layer.progress",
        /// The layer has no work left.
        LayerCompleted = "layer.completed",
    }
}

impl From<pull::Phase> for Phase {
    fn from(phase: pull::Phase) -> Self {
        match phase {
            pull::Phase::Queued => Self::Queued,
            pull::Phase::Resolving => Self::Resolving,
            pull::Phase::Downloading => Self::Downloading,
            pull::Phase::Extracting => Self::Extracting,
            pull::Phase::Ended(pull::Outcome::Completed) => Self::Completed,
            pull::Phase::Ended(pull::Outcome::Failed) => Self::Failed,
            pull::Phase::Ended(pull::Outcome::Cancelled) => Self::Cancelled,
            pull::Phase::Ended(pull::Outcome::Unknown) => Self::Unknown,
        }
    }
}

impl TryFrom<Phase> for pull::Phase {
    type Error = UnknownVariant;

    fn try_from(phase: Phase) -> Result<Self, UnknownVariant> {
        Ok(match phase {
            Phase::Queued => Self::Queued,
            Phase::Resolving => Self::Resolving,
            Phase::Downloading => Self::Downloading,
            Phase::Extracting => Self::Extracting,
            Phase::Completed => Self::Ended(pull::Outcome::Completed),
            Phase::Failed => Self::Ended(pull::Outcome::Failed),
            Phase::Cancelled => Self::Ended(pull::Outcome::Cancelled),
            Phase::Unknown => Self::Ended(pull::Outcome::Unknown),
            Phase::Other => return Err(UnknownVariant),
        })
    }
}

impl From<Option<EtaBasis>> for eta::EtaBasis {
    /// An absent or unknown basis is treated as an assumption.
    fn from(basis: Option<EtaBasis>) -> Self {
        basis.and_then(|basis| basis.try_into().ok()).unwrap_or(Self::Assumed)
    }
}
