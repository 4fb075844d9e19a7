//! Links between pods and pulls, and the evidence for them.
//!
//! The correlator creates the links; this module only defines them.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::id::{ImageConsumer, KubeName, PodUid, PullId};
use crate::reference::ImageRef;
use crate::time::NodeTime;
use crate::unit::Bytes;

/// A pod, identified by its UID because names are reused.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PodRef {
    /// The namespace.
    pub namespace: KubeName,
    /// The name.
    pub name: KubeName,
    /// The UID.
    pub uid: PodUid,
}

impl fmt::Display for PodRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// An image as requested by a pod.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RequestedImage {
    /// A valid image reference.
    Named(ImageRef),
    /// An invalid image name: pods may contain any text. At most [`MAX_INVALID_NAME`] characters of
    /// it.
    Invalid(Arc<str>),
}

/// The maximum number of characters kept of an invalid image name.
pub const MAX_INVALID_NAME: usize = 300;

impl RequestedImage {
    /// Parses an image name as written in a pod.
    ///
    /// ```
    /// use pulltrace_core::RequestedImage;
    /// assert_eq!(RequestedImage::from_text("nginx").to_string(), "docker.io/library/nginx:latest");
    /// assert!(RequestedImage::from_text("NGINX").image_ref().is_none());
    /// ```
    #[must_use]
    pub fn from_text(text: &str) -> Self {
        text.parse().map_or_else(
            |_| Self::Invalid(text.chars().take(MAX_INVALID_NAME).collect::<String>().into()),
            Self::Named,
        )
    }

    /// Returns the image reference, if the name is valid.
    #[must_use]
    pub const fn image_ref(&self) -> Option<&ImageRef> {
        match self {
            Self::Named(name) => Some(name),
            Self::Invalid(_) => None,
        }
    }
}

impl fmt::Display for RequestedImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(name) => name.fmt(f),
            Self::Invalid(text) => f.write_str(text),
        }
    }
}

/// The container or volume of a pod that waits, or waited, for the image.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Waiter {
    /// The pod.
    pub pod: PodRef,
    /// The container or volume.
    pub consumer: ImageConsumer,
    /// The requested image.
    pub image: RequestedImage,
}

words! {
    /// The evidence that a pull is the one a pod waits for, weakest first.
    #[non_exhaustive]
    pub enum LinkEvidence {
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

/// Kubernetes data about a pull; empty if unknown.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Links {
    /// The containers and volumes that wait or waited for the pull, each with its evidence.
    pub pods: Vec<(Waiter, LinkEvidence)>,
    /// Possible waiters, if the evidence does not decide between several images.
    pub candidates: Vec<Waiter>,
    /// The number of the attempt for this image and pod, starting at 1.
    pub attempt: Option<u32>,
    /// When the kubelet announced the pull, before its queue; by the node's clock.
    pub queued_at: Option<NodeTime>,
    /// The announced pull that this one replaced when its lease was seen.
    pub supersedes: Option<PullId>,
    /// When the kubelet retries after a failure, according to its back-off.
    pub next_retry_at: Option<NodeTime>,
    /// The kubelet's own measurements.
    pub kubelet: Option<KubeletTimes>,
}

impl Links {
    /// Reports whether all data is unknown.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Returns the image name, if all waiters use the same one.
    #[must_use]
    pub fn image(&self) -> Option<&RequestedImage> {
        let mut images = self.pods.iter().map(|(waiter, _)| &waiter.image);
        let first = images.next()?;
        images.all(|image| image == first).then_some(first)
    }
}

/// The duration and size of a pull as reported by the kubelet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KubeletTimes {
    /// The duration of the pull.
    pub pulling: Duration,
    /// The duration including the wait in the kubelet's queue; older kubelets do not report it.
    pub with_waiting: Option<Duration>,
    /// The image size: containerd's number, compressed and including manifests and config.
    pub size: Option<Bytes>,
    /// True if pulltrace's own measurement is within 20 % or one second of it; `None` if pulltrace
    /// did not observe the whole pull.
    pub agrees: Option<bool>,
}
