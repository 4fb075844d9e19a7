//! What Kubernetes knows of pods and their images: a trait for each source, and what sources say.
//!
//! A source says explicitly when it begins anew, and when all that was there has been said: nothing is
//! inferred from silence. What `kube` gives is in `kube` alone; what a test or a program of one's own says
//! is in `scripted`; where there is no cluster, there is `none`.

#[cfg(feature = "kube")]
pub mod kube;
mod none;
mod scripted;

pub use none::Nothing;
pub use scripted::{Script, ScriptError, Scripted};

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use pulltrace_core::kubelet::Said;
use pulltrace_core::{
    Bytes, Digest, Failure, NodeName, NodeTime, PodRef, PodUid, Slot, WantedImage,
};

/// A source of pods.
///
/// - **Who retries:** the source. It goes on for ever over disconnects, and says [`Trouble`] meanwhile: once,
///   and again where the kind of trouble is another. The trouble is over with the next `Done`: that of a new
///   list, or, where nothing was missed, one that comes alone.
/// - **Cancel-safe:** a `next` that is dropped loses nothing.
/// - **Empty:** a cluster without pods is `Reset`, `Done`. `None` is: there will never be more.
/// - **Order:** `Reset` first; then each pod that is there as `Init`; then `Done`; then changes. After a
///   gap that cannot be closed (`410 Gone`) it begins again with `Reset`: pods that are not said until
///   `Done` are gone. It may begin again before it came to `Done`.
/// - **Part of it:** a source that may hear of some namespaces only says `Done`, and then the trouble again.
///
/// The suite `testing::conformance` (feature `testing`) checks this of any implementation.
pub trait PodSource: Send + 'static {
    /// What is next; waits for it.
    fn next(&mut self) -> impl Future<Output = Option<PodUpdate>> + Send;
}

/// A source of what kubelets say of images, in events.
///
/// The contract is that of [`PodSource`], but that events are never gone: one that is deleted is not said,
/// since what it says stays true, and after a gap the source may say all that is there as `Applied` instead
/// of beginning anew. So an event may be said twice: it is the same where `name` and `count` are.
pub trait PullEventSource: Send + 'static {
    /// What is next; waits for it.
    fn next(&mut self) -> impl Future<Output = Option<PullEventUpdate>> + Send;
}

/// What a source of pods says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PodUpdate {
    /// All that is there is said anew, until `Done`.
    Reset,
    /// A pod that is there.
    Init(Pod),
    /// All that was there at `Reset` has been said, and no trouble is left.
    Done,
    /// A pod is new or changed.
    Applied(Pod),
    /// A pod is gone, or has finished.
    Deleted(PodUid),
    /// A pod that was not understood, and is left out; it is counted.
    Odd,
    /// Nothing is heard; the source tries again.
    Trouble(Trouble),
}

/// What a source of events says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PullEventUpdate {
    /// All that is there is said anew, until `Done`.
    Reset,
    /// An event that is there.
    Init(PullEvent),
    /// All that was there at `Reset` has been said, and no trouble is left.
    Done,
    /// An event is new, or happened again.
    Applied(PullEvent),
    /// One that was not understood; it is counted.
    Odd,
    /// Nothing is heard; the source tries again.
    Trouble(Trouble),
}

/// Why nothing is heard of a source. It goes on trying.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// What kind of trouble.
    pub kind: TroubleKind,
    /// What happened, for people: without credentials, at most a few hundred characters.
    pub message: String,
}

/// What kind of trouble a source has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TroubleKind {
    /// The permission to list or watch is missing.
    Forbidden,
    /// The API server does not know who asks: a token has expired, or was revoked.
    Unauthorized,
    /// It cannot be reached, or breaks off.
    Unreachable,
    /// It answers what is not understood.
    Odd,
}

impl TroubleKind {
    /// The word: `forbidden`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Forbidden => "forbidden",
            Self::Unauthorized => "unauthorized",
            Self::Unreachable => "unreachable",
            Self::Odd => "odd",
        }
    }
}

impl fmt::Display for TroubleKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A pod on a node, as far as its images go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// The pod. Of a static pod the uid is the one that its kubelet uses in events (annotation
    /// `kubernetes.io/config.hash` of its mirror).
    pub pod: PodRef,
    /// Its node.
    pub node: NodeName,
    /// Its images in the order in which the kubelet takes them: volumes, init containers and sidecars,
    /// containers, ephemeral containers.
    pub images: Vec<PodImage>,
}

/// One image that a pod names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodImage {
    /// The container's name; of a volume [`volume_slot`] of its image.
    pub slot: Slot,
    /// The name by which people know it: of the container, or of the volume.
    pub name: Arc<str>,
    /// What it is.
    pub kind: SlotKind,
    /// The image that the spec names.
    pub image: WantedImage,
    /// How the pod's status has it.
    pub state: Seen,
}

/// What of a pod wants an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
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
}

/// How a pod's status has one of its images. It lags the kubelet's events by up to 15 seconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// It waits; for what may be anything, with Kubernetes' own word and text where there are any.
    Waiting {
        /// `ContainerCreating`, `PodInitializing`, `ErrImagePull`, `ImagePullBackOff`.
        reason: Option<Arc<str>>,
        /// What is said beyond the word.
        message: Option<Arc<str>>,
    },
    /// The image is on the node: the container ran, runs, or waits for what comes after its image.
    Present {
        /// The digest that the runtime has it under, where the status says it (`imageID`).
        root: Option<Digest>,
        /// When its container started, by the node's clock, where the status says it.
        since: Option<NodeTime>,
    },
}

/// What a kubelet says of an image of a pod, in an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PullEvent {
    /// The name of the event's object: when it happens again it is the same object.
    pub name: Arc<str>,
    /// The pod.
    pub pod: PodRef,
    /// The node whose kubelet says it.
    pub node: NodeName,
    /// The container; `None` of an image volume.
    pub slot: Option<Slot>,
    /// The image, where the message names it.
    pub image: Option<WantedImage>,
    /// When it happened first, by the node's clock. Whole seconds, or exact where the object's name tells
    /// (client-go puts the nanoseconds there, in hex, behind the last dot).
    pub first: NodeTime,
    /// When it happened last, by the node's clock: in whole seconds, and not before `first`.
    pub last: NodeTime,
    /// How often it happened; at least 1.
    pub count: u32,
    /// What it says.
    pub word: KubeletWord,
}

/// What a kubelet says of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KubeletWord {
    /// It will pull, when those before it are done.
    Pulling,
    /// It pulled, and the image is there.
    Pulled {
        /// How long the pull took.
        took: Option<Duration>,
        /// How long with the time in the kubelet's queue.
        with_waiting: Option<Duration>,
        /// What the runtime says that the image weighs.
        size: Option<Bytes>,
    },
    /// The image was there.
    Present,
    /// It could not pull, or may not, or the name is none.
    Failed(Failure),
    /// A pull failed, and it waits before it tries again.
    BackOff,
}

impl KubeletWord {
    /// What an event says, and of which image where its message names one; `None` where it says nothing
    /// of an image.
    #[must_use]
    pub fn of(reason: &str, message: &str) -> Option<(Self, Option<WantedImage>)> {
        let said = Said::of(reason, message);
        let failure = said.failure();
        let (word, image) = match said {
            Said::Pulling { image } => (Self::Pulling, Some(image)),
            Said::Pulled {
                image,
                took,
                with_waiting,
                size,
            } => {
                let word = Self::Pulled {
                    took,
                    with_waiting,
                    size,
                };
                (word, Some(image))
            }
            Said::AlreadyPresent { image } => (Self::Present, Some(image)),
            Said::BackOff { image } => (Self::BackOff, image),
            Said::Failed { image, .. }
            | Said::NeverPull { image }
            | Said::InvalidName { image, .. } => (Self::Failed(failure?), image),
            _ => return None,
        };
        Some((word, image.map(|image| WantedImage::of(&image))))
    }
}

/// The slot of an image volume: the kubelet's events name the image and not the volume.
#[must_use]
pub fn volume_slot(image: &WantedImage) -> Slot {
    // FNV-1a: short, and the same for ever; a pod has few volumes.
    let hash = image
        .to_string()
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
    format!("Image-{hash:016x}")
        .parse()
        .expect("letters, digits and `-` are a slot")
}
