//! Version 1: JSON in camelCase, times as RFC 3339 text, bytes as integers.
//!
//! What is unknown is absent, never 0. Within version 1 fields and words are only added: a reader
//! ignores fields that it does not know, and reads a word that it does not know as `Other`.
//!
//! | who says it | to whom | types |
//! |---|---|---|
//! | an agent | its server | [`AgentReport`] and the [`ReportAck`] that answers it |
//! | a server | people and programs | [`PullStatus`], [`PullList`], [`PullEvent`], [`Frame`], [`NodeStatus`], [`ImageStatus`], [`PodStatus`], [`ServerStatus`], [`Problem`] |

mod event;
mod list;
mod pod;
mod report;
mod server;
mod status;
mod words;

pub use event::{EventType, Frame, LayerMotion, PullEvent, PullMotion};
pub use list::{ImageList, ImageStatus, NodeList, NodeStatus, Problem, PullList};
pub use pod::{ClusterStatus, PodEnd, PodImage, PodList, PodPulls, PodStatus};
pub use report::{
    AgentInfo, AgentReport, Dropped, LayerDetail, NodeInfo, ReportAck, ReportImage,
    ReportImageLayer, ReportLayer, ReportPull,
};
pub use server::{ServerStatus, Throughput};
pub use status::{Failure, KubeletTimes, LayerStatus, PodLink, PullStatus, WaitingOn};
pub use words::{
    EtaBasis, FailureReason, ImageState, LayerState, LinkEvidence, NodeState, Outcome, Phase,
    PodEndReason, SlotKind, SourceState, WaitingKind,
};

/// What [`AgentReport::schema_version`] and [`PullEvent::schema_version`] say.
pub const SCHEMA_VERSION: &str = "v1";

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde's `skip_serializing_if` passes a reference to the field"
)]
const fn is_false(value: &bool) -> bool {
    !*value
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde's `skip_serializing_if` passes a reference to the field"
)]
const fn is_zero(value: &u64) -> bool {
    *value == 0
}
