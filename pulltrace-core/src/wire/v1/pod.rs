//! Pods that wait for images.

use macro_rules_attribute::apply;

use super::enums::{ImageState, PodEndReason, SlotKind, SourceState};
use super::status::{Failure, PullStatus};
use crate::time::NodeTime;

/// `GET /api/v1/pods`: the pods that wait for an image, or did within the last minute or so.
#[apply(response)]
pub struct PodList {
    /// The server's epoch, which changes on every restart.
    pub epoch: String,
    /// The position in the server's changes.
    pub seq: u64,
    /// The server's clock.
    pub now: NodeTime,
    /// The state of the sources that the list is based on.
    pub cluster: ClusterStatus,
    /// The pods, ordered by namespace and name.
    pub pods: Vec<PodStatus>,
    /// If there are more, the value of `continue` for the next page.
    #[serde(rename = "continue")]
    pub next: Option<String>,
}

/// The state of a server's Kubernetes sources.
#[apply(response)]
#[derive(Eq)]
pub struct ClusterStatus {
    /// The state of the pod source.
    pub pods: SourceState,
    /// The state of the source of kubelet events.
    pub events: SourceState,
    /// Why pods are not available, for display.
    pub pods_reason: Option<String>,
    /// Why events are not available, for display.
    pub events_reason: Option<String>,
}

/// A pod, the images it waits for, and the remaining time.
#[apply(response)]
pub struct PodStatus {
    /// The namespace.
    pub namespace: String,
    /// The name.
    pub pod_name: String,
    /// The UID.
    pub uid: String,
    /// The node of the pod.
    pub node_name: String,
    /// True if all its images are present.
    pub ready: bool,
    /// True if anything that the pod waits for makes progress, so that it is worth waiting.
    pub moving: bool,
    /// The status of the pod in one sentence, for display.
    pub summary: String,
    /// The estimated remaining time until all images are present; absent if that of one image is
    /// unknown.
    pub eta_seconds: Option<f64>,
    /// The minimum remaining time: the part that can be estimated.
    pub eta_low_seconds: Option<f64>,
    /// The images in the order in which the kubelet pulls them, including those that are present.
    pub images: Vec<PodImage>,
}

/// An image that a pod needs.
#[apply(response)]
pub struct PodImage {
    /// The name of the container or volume.
    pub container: String,
    /// The kind of container or volume.
    pub kind: SlotKind,
    /// The image, as the pod names it.
    pub image: String,
    /// The state of the image.
    pub state: ImageState,
    /// The id of the pull that the pod waits for, or waited for last.
    pub pull: Option<String>,
    /// The number of the attempt, starting at 1.
    pub attempt: Option<u32>,
    /// The waiting reason in the pod's status: `ContainerCreating`, `ImagePullBackOff`.
    pub waiting_reason: Option<String>,
    /// Why the last attempt failed, if it did.
    pub failure: Option<Failure>,
    /// The estimated remaining time.
    pub eta_seconds: Option<f64>,
}

/// `GET /api/v1/namespaces/{namespace}/pods/{pod}/pulls`: a pod with its pulls.
#[apply(response)]
pub struct PodPulls {
    /// The server's epoch, which changes on every restart.
    pub epoch: String,
    /// The position in the server's changes.
    pub seq: u64,
    /// The server's clock.
    pub now: NodeTime,
    /// The pod.
    pub pod: PodStatus,
    /// The pulls that its images refer to, in the order of the images, without their layers.
    pub pulls: Vec<PullStatus>,
}

/// The `end` event of a followed pod, which is the last one.
#[apply(response)]
#[derive(Eq)]
pub struct PodEnd {
    /// The reason.
    pub reason: PodEndReason,
    /// The position in the server's changes.
    pub seq: u64,
    /// The server's clock.
    pub now: NodeTime,
}
