//! Sources of pods and of kubelet events.
//!
//! [`PodSource`] and [`PullEventSource`] are the traits; their updates mark the start and the end
//! of a list explicitly; silence has no meaning. `kube` implements them for an API server,
//! [`from_stream`] for any stream of updates, [`ScriptedSource`] for tests, [`NoSource`] for
//! servers without a cluster.

mod error;
#[cfg(feature = "kube")]
pub mod kube;
mod none;
mod scripted;
mod stream;

pub use error::SourceError;
pub use none::NoSource;
pub use scripted::{ScriptError, ScriptHandle, ScriptedSource};
pub use stream::{FromStream, from_stream};

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use pulltrace_core::kubelet::KubeletMessage;
use pulltrace_core::{Digest, ImageConsumer, NodeName, NodeTime, PodRef, PodUid, RequestedImage};

/// A source of pods.
///
/// - **Retries:** the source retries forever. While it cannot deliver updates it reports `Failing`:
///   once, and again if the kind of failure changes. The failure ends with the next `InitDone`:
///   that of a new list, or a single one if no update was missed.
/// - **Errors:** every error is fatal for the source. After an error or `None`, `next` is not
///   called again.
/// - **Cancel safety:** `next` is cancel-safe; dropping its future loses no update.
/// - **Empty clusters:** a cluster without pods is reported as `Init`, `InitDone`. `None` means
///   that there will be no further updates.
/// - **Order:** `Init`, then each existing pod as `InitApply`, then `InitDone`, then changes. After
///   a gap that cannot be closed (`410 Gone`) the source starts over with `Init`: pods not listed
///   before `InitDone` are gone. It may start over before `InitDone`.
/// - **Partial access:** a source that may only read some namespaces reports `InitDone`, followed
///   by `Failing` again.
///
/// The suite `testing::conformance` (feature `testing`) checks any implementation against this
/// contract.
///
/// ```
/// use pulltrace_server_lib::cluster::{PodSource, PodUpdate, SourceError};
///
/// /// Adds nothing to the updates of another source, but counts them.
/// struct Counted<S>(S, u64);
///
/// impl<S: PodSource> PodSource for Counted<S> {
///     async fn next(&mut self) -> Result<Option<PodUpdate>, SourceError> {
///         let update = self.0.next().await?;
///         self.1 += 1;
///         Ok(update)
///     }
/// }
/// ```
pub trait PodSource: Send {
    /// Waits for the next update. Returns `None` when the source has ended.
    ///
    /// # Errors
    /// Returns an error if the source failed and does not retry.
    fn next(&mut self) -> impl Future<Output = Result<Option<PodUpdate>, SourceError>> + Send;

    /// Returns the source as a trait object.
    fn boxed(self) -> BoxPodSource
    where
        Self: Sized + 'static,
    {
        BoxPodSource::new(self)
    }
}

/// A source of kubelet events about images.
///
/// The contract is that of [`PodSource`], except that events are never deleted, since they stay
/// true. After a gap, the source may send all existing events as `Apply` instead of starting over,
/// so an event can be received twice. Events with equal `name` and `count` are the same.
pub trait PullEventSource: Send {
    /// Waits for the next update. Returns `None` when the source has ended.
    ///
    /// # Errors
    /// Returns an error if the source failed and does not retry.
    fn next(&mut self)
    -> impl Future<Output = Result<Option<PullEventUpdate>, SourceError>> + Send;

    /// Returns the source as a trait object.
    fn boxed(self) -> BoxPullEventSource
    where
        Self: Sized + 'static,
    {
        BoxPullEventSource::new(self)
    }
}

/// The future of `next` behind a trait object.
type NextFuture<'a, U> = Pin<Box<dyn Future<Output = Result<Option<U>, SourceError>> + Send + 'a>>;

/// The object-safe form of the source traits: a source of updates of type `U`.
trait DynSource<U>: Send {
    fn next_boxed(&mut self) -> NextFuture<'_, U>;
}

impl<S: PodSource> DynSource<PodUpdate> for S {
    fn next_boxed(&mut self) -> NextFuture<'_, PodUpdate> {
        Box::pin(self.next())
    }
}

impl<S: PullEventSource> DynSource<PullEventUpdate> for S {
    fn next_boxed(&mut self) -> NextFuture<'_, PullEventUpdate> {
        Box::pin(self.next())
    }
}

/// A [`PodSource`] as a trait object, created with [`PodSource::boxed`].
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use pulltrace_server_lib::cluster::{BoxPodSource, NoSource, PodSource, PodUpdate, ScriptedSource};
///
/// let (source, script) = ScriptedSource::new();
/// let with_cluster = true;
/// let mut pods: BoxPodSource =
///     if with_cluster { PodSource::boxed(source) } else { PodSource::boxed(NoSource) };
/// script.try_send(PodUpdate::Init)?;
/// assert_eq!(pods.next().await?, Some(PodUpdate::Init));
/// # Ok(()) }
/// ```
pub struct BoxPodSource(Box<dyn DynSource<PodUpdate>>);

/// A [`PullEventSource`] as a trait object, created with [`PullEventSource::boxed`].
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use pulltrace_server_lib::cluster::{
///     BoxPullEventSource, PullEventSource, PullEventUpdate, ScriptedSource,
/// };
///
/// let (source, script) = ScriptedSource::new();
/// let mut events: BoxPullEventSource = source.boxed();
/// script.try_send(PullEventUpdate::Init)?;
/// assert_eq!(events.next().await?, Some(PullEventUpdate::Init));
/// # Ok(()) }
/// ```
pub struct BoxPullEventSource(Box<dyn DynSource<PullEventUpdate>>);

impl BoxPodSource {
    fn new(source: impl PodSource + 'static) -> Self {
        Self(Box::new(source))
    }
}

impl BoxPullEventSource {
    fn new(source: impl PullEventSource + 'static) -> Self {
        Self(Box::new(source))
    }
}

impl PodSource for BoxPodSource {
    async fn next(&mut self) -> Result<Option<PodUpdate>, SourceError> {
        self.0.next_boxed().await
    }
}

impl PullEventSource for BoxPullEventSource {
    async fn next(&mut self) -> Result<Option<PullEventUpdate>, SourceError> {
        self.0.next_boxed().await
    }
}

impl fmt::Debug for BoxPodSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BoxPodSource").finish_non_exhaustive()
    }
}

impl fmt::Debug for BoxPullEventSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BoxPullEventSource").finish_non_exhaustive()
    }
}

/// An update from a source of pods. The variants follow `kube::runtime::watcher::Event`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PodUpdate {
    /// A list starts; it ends with `InitDone`.
    Init,
    /// A pod that exists.
    InitApply(Pod),
    /// All pods that existed at `Init` were sent, and no failure is left.
    InitDone,
    /// A pod is new or changed.
    Apply(Pod),
    /// A pod was deleted or has finished.
    Delete(PodUid),
    /// A pod could not be parsed. It is skipped and counted.
    Malformed,
    /// No updates are received; the source retries.
    Failing(SourceFailure),
}

/// An update from a source of events.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PullEventUpdate {
    /// A list starts; it ends with `InitDone`.
    Init,
    /// An event that exists.
    InitApply(PullEvent),
    /// All events that existed at `Init` were sent, and no failure is left.
    InitDone,
    /// An event is new, or occurred again.
    Apply(PullEvent),
    /// An event could not be parsed; it is counted.
    Malformed,
    /// No updates are received; the source retries.
    Failing(SourceFailure),
}

/// The reason why a source receives no updates. The source keeps retrying.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceFailure {
    /// The kind of failure.
    pub kind: SourceFailureKind,
    /// A message for people: no credentials, at most a few hundred characters.
    pub message: String,
}

/// The kind of a source failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum SourceFailureKind {
    /// The permission to list or watch is missing.
    Forbidden,
    /// The API server rejects the credentials: a token has expired or was revoked.
    Unauthorized,
    /// The API server is unreachable or drops the connection.
    Unreachable,
    /// The API server sends unexpected responses.
    Malformed,
}

impl SourceFailureKind {
    /// The name on the wire, such as `forbidden`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Forbidden => "forbidden",
            Self::Unauthorized => "unauthorized",
            Self::Unreachable => "unreachable",
            Self::Malformed => "odd",
        }
    }
}

impl fmt::Display for SourceFailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The images of a pod on a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// The pod. For a static pod, the uid is the one its kubelet uses in events (annotation
    /// `kubernetes.io/config.hash` of the mirror pod).
    pub pod: PodRef,
    /// The pod's node.
    pub node: NodeName,
    /// The images in the order in which the kubelet pulls them: volumes, init containers and
    /// sidecars, containers, ephemeral containers.
    pub images: Vec<PodImage>,
}

/// An image in a pod spec.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodImage {
    /// The container's name; for a volume, the [`volume_consumer`] of its image.
    pub consumer: ImageConsumer,
    /// The display name: that of the container or volume.
    pub name: Arc<str>,
    /// The kind of container or volume.
    pub kind: ImageConsumerKind,
    /// The image named in the spec.
    pub image: RequestedImage,
    /// The state according to the pod's status.
    pub presence: ImagePresence,
}

/// The kind of container or volume that needs an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ImageConsumerKind {
    /// An image volume.
    Volume,
    /// An init container.
    Init,
    /// An init container with `restartPolicy: Always`.
    Sidecar,
    /// A regular container.
    Container,
    /// An ephemeral container.
    Ephemeral,
}

/// The state of a pod's image, according to the pod's status. The status lags the kubelet's events
/// by up to 15 seconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImagePresence {
    /// The container is waiting, not necessarily for its image.
    Waiting {
        /// `ContainerCreating`, `PodInitializing`, `ErrImagePull`, `ImagePullBackOff`.
        reason: Option<Arc<str>>,
        /// The message that accompanies the reason.
        message: Option<Arc<str>>,
    },
    /// The image is on the node: the container is running, has run, or waits for a later step.
    Present {
        /// The image's digest in the runtime, if the status has it (`imageID`).
        root_digest: Option<Digest>,
        /// Start time of the container by the node's clock, if the status has it.
        started_at: Option<NodeTime>,
    },
}

/// A kubelet event about an image of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PullEvent {
    /// The name of the event object. A recurring event keeps its object.
    pub name: Arc<str>,
    /// The pod.
    pub pod: PodRef,
    /// The node of the kubelet.
    pub node: NodeName,
    /// The container; `None` for an image volume.
    pub consumer: Option<ImageConsumer>,
    /// The parsed message.
    pub message: KubeletMessage,
    /// First occurrence by the node's clock. Whole seconds, or exact if the object's name has the
    /// time (client-go appends the nanoseconds in hexadecimal after the last dot).
    pub first_seen: NodeTime,
    /// Last occurrence by the node's clock: whole seconds, and never before `first_seen`.
    pub last_seen: NodeTime,
    /// Number of occurrences, at least 1.
    pub count: u32,
}

/// The consumer of an image volume. It is derived from the image, since kubelet events name the
/// image but not the volume.
#[must_use]
pub fn volume_consumer(image: &RequestedImage) -> ImageConsumer {
    // FNV-1a: short and stable; a pod has few volumes.
    let hash = image.to_string().bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("Image-{hash:016x}").parse().expect("letters, digits and `-` form a valid name")
}
