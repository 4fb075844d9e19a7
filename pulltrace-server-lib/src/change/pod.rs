//! Pods that wait for images, as data.

use std::sync::Arc;

use pulltrace_core::{Bytes, Failure, NodeName, NodeTime, PodRef, PullId, WantedImage};

use crate::cluster::SlotKind;

/// A pod that waits for images, or did a moment ago.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct PodView {
    /// The pod.
    pub pod: PodRef,
    /// Its node.
    pub node: NodeName,
    /// Its images in the order in which the kubelet takes them.
    pub images: Vec<ImageView>,
    /// Whether the pod is gone.
    pub gone: bool,
}

/// How it stands with one image of a pod.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ImageView {
    /// The container's or volume's name.
    pub name: Arc<str>,
    /// What it is; a container where only the kubelet spoke of it.
    pub kind: SlotKind,
    /// The image.
    pub image: WantedImage,
    /// How it stands.
    pub state: ImageState,
    /// The pull that it waits for, or last waited for.
    pub pull: Option<PullId>,
    /// Which try it is.
    pub attempt: Option<u32>,
    /// What the pod's status says of it.
    pub reason: Option<Arc<str>>,
    /// Why the last try failed, where it did.
    pub failure: Option<Failure>,
    /// When the kubelet tries again, by the node's clock.
    pub next_retry_at: Option<NodeTime>,
    /// What it weighs, where a node pulled it before.
    pub size: Option<Bytes>,
}

/// How it stands with one image of a pod; each is nearer to the image than the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ImageState {
    /// The last try failed, and the kubelet tries again, or never will.
    Failed,
    /// The kubelet has not come to it yet.
    Pending,
    /// The kubelet announced it.
    Queued,
    /// It is being pulled.
    Pulling,
    /// It is on the node.
    Present,
}

impl PodView {
    /// Whether all its images are there.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        let there = |image: &ImageView| image.state == ImageState::Present;
        self.images.iter().all(there)
    }

    /// Whether it is known to wait for a pull, and not perhaps for something else.
    #[must_use]
    pub fn waits_for_a_pull(&self) -> bool {
        let waits = |image: &ImageView| {
            matches!(
                image.state,
                ImageState::Failed | ImageState::Queued | ImageState::Pulling
            )
        };
        !self.gone && self.images.iter().any(waits)
    }
}
