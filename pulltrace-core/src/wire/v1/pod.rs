//! Pods that wait for images, as people and programs read them.

use serde::{Deserialize, Serialize};

use super::status::{Failure, PullStatus};
use super::words::{ImageState, PodEndReason, SlotKind, SourceState};
use crate::time::NodeTime;

/// `GET /api/v1/pods`: the pods that wait for an image, and for about a minute those that did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(optional_fields))]
#[serde(rename_all = "camelCase")]
pub struct PodList {
    /// The life of the server.
    pub epoch: String,
    /// Where in the server's changes this was true.
    pub seq: u64,
    /// The server's clock.
    #[serde(with = "super::super::time")]
    #[cfg_attr(feature = "ts", ts(as = "String"))]
    pub now: NodeTime,
    /// Whether the server hears what it rests on.
    pub cluster: ClusterStatus,
    /// The pods, in the order of their namespaces and names.
    pub pods: Vec<PodStatus>,
    /// Where there are more: the value of `continue` for the next page.
    #[serde(rename = "continue", default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// Whether a server hears of pods, and of what kubelets say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(optional_fields))]
#[serde(rename_all = "camelCase")]
pub struct ClusterStatus {
    /// Whether it hears of pods.
    pub pods: SourceState,
    /// Whether it hears of the kubelets' events.
    pub events: SourceState,
    /// Why it does not hear of pods, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pods_reason: Option<String>,
    /// Why it does not hear of events, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub events_reason: Option<String>,
}

/// One pod: what it waits for, and how much longer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(optional_fields))]
#[serde(rename_all = "camelCase")]
pub struct PodStatus {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub pod_name: String,
    /// Its uid.
    pub uid: String,
    /// The node that it is on.
    pub node_name: String,
    /// Whether all its images are there.
    pub ready: bool,
    /// Whether it gets on: something that it waits for moves, so whoever waits for it should go on
    /// waiting.
    pub moving: bool,
    /// How it stands, in one sentence for people.
    pub summary: String,
    /// How much longer until all its images are there, by the best guess; absent where one of them cannot
    /// be guessed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eta_seconds: Option<f64>,
    /// How much longer at least: what of it can be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eta_low_seconds: Option<f64>,
    /// Its images in the order in which the kubelet takes them; those that are there too.
    pub images: Vec<PodImage>,
}

/// One image that a pod needs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(optional_fields))]
#[serde(rename_all = "camelCase")]
pub struct PodImage {
    /// The container or the volume.
    pub container: String,
    /// Which of these it is.
    pub kind: SlotKind,
    /// The image, as the pod names it.
    pub image: String,
    /// How it stands with it.
    pub state: ImageState,
    /// The id of the pull that it waits for, or last waited for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pull: Option<String>,
    /// Which try it is; the first is 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    /// What Kubernetes says of it: `ContainerCreating`, `ImagePullBackOff`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting_reason: Option<String>,
    /// Why the last try failed, where it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// How much longer it takes, by the best guess.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eta_seconds: Option<f64>,
}

/// `GET /api/v1/namespaces/{namespace}/pods/{pod}/pulls`: one pod with its pulls.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(optional_fields))]
#[serde(rename_all = "camelCase")]
pub struct PodPulls {
    /// The life of the server.
    pub epoch: String,
    /// Where in the server's changes this was true.
    pub seq: u64,
    /// The server's clock.
    #[serde(with = "super::super::time")]
    #[cfg_attr(feature = "ts", ts(as = "String"))]
    pub now: NodeTime,
    /// The pod.
    pub pod: PodStatus,
    /// The pulls that its images name, in the order of the images; without their layers.
    pub pulls: Vec<PullStatus>,
}

/// The event `end` of a pod that is followed: nothing more comes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(optional_fields))]
#[serde(rename_all = "camelCase")]
pub struct PodEnd {
    /// Why.
    pub reason: PodEndReason,
    /// Where in the server's changes this was true.
    pub seq: u64,
    /// The server's clock.
    #[serde(with = "super::super::time")]
    #[cfg_attr(feature = "ts", ts(as = "String"))]
    pub now: NodeTime,
}
