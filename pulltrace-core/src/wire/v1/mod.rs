//! Version 1: JSON in camelCase, times as RFC 3339 text, bytes as integers.
//!
//! Unknown values are absent, never 0. Within version 1, fields and enum values are only added:
//! readers ignore unknown fields, and read unknown enum values as `Other`.
//!
//! | sender | receiver | types |
//! |---|---|---|
//! | agent | server | [`AgentReport`], answered with [`ReportAck`] |
//! | server | users and programs | [`PullStatus`], [`PullList`], [`PullEvent`], [`Frame`], [`NodeStatus`], [`ImageStatus`], [`PodStatus`], [`ServerStatus`], [`Problem`] |

/// The attributes of all objects: camelCase, unknown values absent, a schema with feature `openapi`.
macro_rules! json_object {
    ($($item:tt)*) => {
        #[serde_with::skip_serializing_none]
        #[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
        #[serde(rename_all = "camelCase")]
        $($item)*
    };
}

/// The attributes of objects that the server sends: a [`json_object`], and a type in TypeScript
/// with feature `ts`.
macro_rules! response {
    ($($item:tt)*) => {
        json_object! {
            #[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(optional_fields))]
            $($item)*
        }
    };
}

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
