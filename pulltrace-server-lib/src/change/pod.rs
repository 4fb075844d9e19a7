//! Pods that wait for images, as data.

use std::sync::Arc;

use pulltrace_core::{Bytes, Failure, NodeName, NodeTime, PodRef, PullId, RequestedImage};

use crate::cluster::ImageConsumerKind;

/// A pod that waits for images, or did a moment ago.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct PodView {
    /// The pod.
    pub pod: PodRef,
    /// Its node.
    pub node: NodeName,
    /// Its images, in the order in which the kubelet pulls them.
    pub images: Vec<ImageView>,
    /// Set when the pod was removed.
    pub gone: bool,
}

/// One image of a pod.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ImageView {
    /// The container's or volume's name.
    pub name: Arc<str>,
    /// Its kind; a guess if the pod is known from events alone.
    pub kind: ImageConsumerKind,
    /// The image.
    pub image: RequestedImage,
    /// Its state.
    pub state: ImageState,
    /// The pull it waits for, or last waited for.
    pub pull: Option<PullId>,
    /// The number of the last attempt.
    pub attempt: Option<u32>,
    /// The waiting reason in the pod's status.
    pub reason: Option<Arc<str>>,
    /// The failure of the last attempt, if it failed.
    pub failure: Option<Failure>,
    /// When the kubelet retries, by the node's clock.
    pub next_retry_at: Option<NodeTime>,
    /// Its size, if a node pulled it before.
    pub size: Option<Bytes>,
}

/// The state of one image of a pod, in order of progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ImageState {
    /// The last attempt failed. The kubelet retries, unless the failure is permanent.
    Failed,
    /// Not announced by the kubelet yet.
    Pending,
    /// Announced by the kubelet.
    Queued,
    /// Being pulled.
    Pulling,
    /// On the node.
    Present,
}

impl PodView {
    /// Reports whether all its images are present.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        let there = |image: &ImageView| image.state == ImageState::Present;
        self.images.iter().all(there)
    }

    /// Reports whether it certainly waits for a pull; pending images may wait for something else.
    #[must_use]
    pub fn is_waiting_for_pull(&self) -> bool {
        let waits = |image: &ImageView| {
            matches!(image.state, ImageState::Failed | ImageState::Queued | ImageState::Pulling)
        };
        !self.gone && self.images.iter().any(waits)
    }
}
