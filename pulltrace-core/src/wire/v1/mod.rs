//! Version 1: JSON in camelCase, times as RFC 3339 text, bytes as integers.
//!
//! Unknown values are absent, never 0. Within version 1, fields and enum values are only added:
//! readers ignore unknown fields, and read unknown enum values as `Other`.
//!
//! | sender | receiver | types |
//! |---|---|---|
//! | agent | server | [`AgentReport`], answered with [`ReportAck`] |
//! | server | users and programs | [`PullStatus`], [`PullList`], [`PullEvent`], [`Frame`], [`NodeStatus`], [`ImageStatus`], [`PodStatus`], [`ServerStatus`], [`Problem`] |

#[macro_use]
mod attributes;
mod enums;
mod event;
mod list;
mod pod;
mod report;
mod server;
mod status;

pub use enums::{
    EtaBasis, EventType, FailureReason, ImageState, LayerState, LinkEvidence, NodeState, Outcome,
    Phase, PodEndReason, SlotKind, SourceState, UnknownVariant, WaitingKind,
};
pub use event::{Frame, LayerMotion, PullEvent, PullMotion};
pub use list::{ImageList, ImageStatus, NodeList, NodeStatus, Problem, PullList};
pub use pod::{ClusterStatus, PodEnd, PodImage, PodList, PodPulls, PodStatus};
pub use report::{
    AgentInfo, AgentReport, Dropped, LayerDetail, NodeInfo, ReportAck, ReportImage,
    ReportImageLayer, ReportLayer, ReportPull,
};
pub use server::{ServerStatus, Throughput};
pub use status::{Failure, KubeletTimes, LayerStatus, PodLink, PullStatus, WaitingOn};

/// The value of [`AgentReport::schema_version`] and [`PullEvent::schema_version`].
pub const SCHEMA_VERSION: &str = "v1";
