//! Who waits for a pull, and how that is known.
//!
//! How a link is made is the correlator's; here stands only what it says.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::id::{KubeName, PodUid, PullId, Slot};
use crate::reference::ImageRef;
use crate::time::NodeTime;
use crate::unit::Bytes;

/// A pod: by its uid, since a name may come again.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PodRef {
    /// Its namespace.
    pub namespace: KubeName,
    /// Its name.
    pub name: KubeName,
    /// Its uid.
    pub uid: PodUid,
}

impl fmt::Display for PodRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// An image as somebody wants it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WantedImage {
    /// Its whole name.
    Named(ImageRef),
    /// A text that is no image's name: a pod may want anything. At most [`MAX_ODD`] characters of it.
    Odd(Arc<str>),
}

/// The most characters that are kept of a text that is no image's name.
pub const MAX_ODD: usize = 300;

impl WantedImage {
    /// What this text names.
    ///
    /// ```
    /// use pulltrace_core::WantedImage;
    /// assert_eq!(WantedImage::of("nginx").to_string(), "docker.io/library/nginx:latest");
    /// assert!(WantedImage::of("NGINX").named().is_none());
    /// ```
    #[must_use]
    pub fn of(text: &str) -> Self {
        text.parse().map_or_else(
            |_| Self::Odd(text.chars().take(MAX_ODD).collect::<String>().into()),
            Self::Named,
        )
    }

    /// Its whole name, where it has one.
    #[must_use]
    pub const fn named(&self) -> Option<&ImageRef> {
        match self {
            Self::Named(name) => Some(name),
            Self::Odd(_) => None,
        }
    }
}

impl fmt::Display for WantedImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(name) => name.fmt(f),
            Self::Odd(text) => f.write_str(text),
        }
    }
}

/// What of a pod waits for an image, or waited.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Waiter {
    /// The pod.
    pub pod: PodRef,
    /// Its container or volume.
    pub slot: Slot,
    /// The image that it wants.
    pub image: WantedImage,
}

/// How it is known that a pull is what somebody waits for; each is better than the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
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
}

impl LinkEvidence {
    /// The word: `image_record`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OnlyCandidate => "only_candidate",
            Self::Event => "event",
            Self::LearnedTag => "learned_tag",
            Self::Digest => "digest",
            Self::ImageRecord => "image_record",
        }
    }
}

impl fmt::Display for LinkEvidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What Kubernetes adds to a pull.
///
/// Empty where nothing is known of it there.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Links {
    /// Who waits for it, or waited, each with how that is known.
    pub pods: Vec<(Waiter, LinkEvidence)>,
    /// Who may be waiting for it, where nothing decides between several images.
    pub candidates: Vec<Waiter>,
    /// Which try it is of the same image for the same pod: 1 is the first.
    pub attempt: Option<u32>,
    /// When the kubelet announced it, by the node's clock: before its queue.
    pub queued_at: Option<NodeTime>,
    /// The announced pull that it was until its lease was seen.
    pub supersedes: Option<PullId>,
    /// When the kubelet tries again, after a failure, as its back-off implies.
    pub next_retry_at: Option<NodeTime>,
    /// What the kubelet says of it.
    pub kubelet: Option<KubeletTimes>,
}

impl Links {
    /// Whether they say nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The image's name, where all who wait for it call it the same.
    #[must_use]
    pub fn image(&self) -> Option<&WantedImage> {
        let mut images = self.pods.iter().map(|(waiter, _)| &waiter.image);
        let first = images.next()?;
        images.all(|image| image == first).then_some(first)
    }
}

/// How long a pull took as the kubelet measured it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KubeletTimes {
    /// The pull itself.
    pub pulling: Duration,
    /// The pull and the wait for it in the kubelet's queue; older kubelets do not say.
    pub with_waiting: Option<Duration>,
    /// What the kubelet says that the image weighs; containerd's number, compressed and with documents.
    pub size: Option<Bytes>,
    /// Whether what pulltrace measured is within 20 % of it, or within a second; `None` where it did
    /// not see the whole pull.
    pub agrees: Option<bool>,
}
