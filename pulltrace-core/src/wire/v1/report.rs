//! Reports of agents, and the server's response.
//!
//! Immutable data of an image is sent once per image and agent instance, in
//! [`AgentReport::images`]. Mutable data is in [`AgentReport::pulls`], which contains complete
//! pulls.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::enums::{EtaBasis, LayerState, Phase};
use super::status::{Failure, WaitingOn};
use crate::time::NodeTime;

/// The state of a node's pulls, either complete or only the changes: `POST /api/v1/report`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct AgentReport {
    /// [`SCHEMA_VERSION`](super::SCHEMA_VERSION). Agents of version 0.1 do not send it.
    pub schema_version: String,
    /// The node.
    pub node_name: String,
    /// When the state was observed, by the node's clock.
    #[serde(with = "super::super::time")]
    pub timestamp: NodeTime,
    /// Grows with each report of this agent instance.
    pub sequence: u64,
    /// True if `pulls` is complete: a missing pull has ended. Otherwise it contains each pull that
    /// changed since the last acknowledged report.
    pub full: bool,
    /// The agent.
    pub agent: AgentInfo,
    /// The container runtime.
    #[serde(default)]
    pub node: NodeInfo,
    /// Immutable data of the images that `pulls` refer to, unless this agent instance has already
    /// sent it to this server. A full report contains all of it.
    #[serde(default)]
    pub images: Vec<ReportImage>,
    /// The pulls, live and ended.
    #[serde(default)]
    pub pulls: Vec<ReportPull>,
    /// Data that was omitted or lost since the agent started.
    #[serde(default)]
    pub dropped: Dropped,
}

/// The agent that sends a report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct AgentInfo {
    /// The version, e.g. `0.1.0`.
    pub version: String,
    /// An id that is new for each start of the agent.
    pub instance: String,
    /// When it started, by the node's clock.
    #[serde(with = "super::super::time")]
    pub started_at: NodeTime,
    /// The maximum time until the next report, in milliseconds. An agent that is silent for several
    /// of these intervals is lost.
    pub interval_ms: u64,
}

/// The container runtime that an agent observes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct NodeInfo {
    /// The name and version of the runtime, e.g. `containerd 2.4.2`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime_version: Option<String>,
    /// The containerd namespace that is observed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime_namespace: Option<String>,
    /// The snapshotter, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshotter: Option<String>,
}

/// The immutable data of an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct ReportImage {
    /// The digest that the image name points to. `pulls` refer to the image by it.
    pub root_digest: String,
    /// The selected manifests. Containers run the first one.
    pub manifest_digests: Vec<String>,
    /// The platform, e.g. `linux/amd64`, if the image declares it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    /// Each layer once, lowest first.
    pub layers: Vec<ReportImageLayer>,
}

/// The immutable data of a layer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct ReportImageLayer {
    /// The digest of its blob.
    pub digest: String,
    /// The compressed size.
    pub size: u64,
    /// The media type according to the manifest.
    pub media_type: String,
    /// The build step that created the layer: at most 120 characters, without the values of `ARG`
    /// and `ENV`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_by: Option<String>,
}

/// The mutable data of a pull.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct ReportPull {
    /// The id, which never changes.
    pub id: String,
    /// The root digest of its image, once the immutable data of the image has been sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// The digest that the image name points to, known before the image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root_digest: Option<String>,
    /// Host (without port) and path of the image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// The full names of the image.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
    /// The phase, or the outcome of an ended pull.
    pub phase: Phase,
    /// Why it failed, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// The current wait, if no part of the pull makes progress.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting_on: Option<WaitingOn>,
    /// The progress, 0 to 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent: Option<f64>,
    /// Bytes that were on the node before, or are served remotely.
    #[serde(default)]
    pub cached_bytes: u64,
    /// Other bytes that are present.
    #[serde(default)]
    pub downloaded_bytes: u64,
    /// Compressed bytes to unpack.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to_extract_bytes: Option<u64>,
    /// Bytes of `to_extract_bytes` that are unpacked.
    #[serde(default)]
    pub extracted_bytes: u64,
    /// Downloaded bytes that had to be fetched again.
    #[serde(default)]
    pub wasted_bytes: u64,
    /// The download rate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_per_sec: Option<f64>,
    /// The estimated remaining time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eta_seconds: Option<f64>,
    /// The optimistic bound of the remaining time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eta_low_seconds: Option<f64>,
    /// The pessimistic bound of the remaining time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eta_high_seconds: Option<f64>,
    /// The basis of the unpacking part of the remaining time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eta_basis: Option<EtaBasis>,
    /// When it started.
    #[serde(with = "super::super::time")]
    pub started_at: NodeTime,
    /// When the manifest was first observed.
    #[serde(with = "super::super::time::option", default, skip_serializing_if = "Option::is_none")]
    pub downloading_at: Option<NodeTime>,
    /// When all bytes were first observed.
    #[serde(with = "super::super::time::option", default, skip_serializing_if = "Option::is_none")]
    pub extracting_at: Option<NodeTime>,
    /// When it ended, with any outcome.
    #[serde(with = "super::super::time::option", default, skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<NodeTime>,
    /// The time of the last progress, if the pull is stalled.
    #[serde(with = "super::super::time::option", default, skip_serializing_if = "Option::is_none")]
    pub stalled_since: Option<NodeTime>,
    /// Since when it has been far slower than usual for its registry on its node.
    #[serde(with = "super::super::time::option", default, skip_serializing_if = "Option::is_none")]
    pub slow_since: Option<NodeTime>,
    /// Since when the agent has been unable to observe it.
    #[serde(with = "super::super::time::option", default, skip_serializing_if = "Option::is_none")]
    pub stale_since: Option<NodeTime>,
    /// The layers, by their index in the image.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub layers: Vec<ReportLayer>,
}

/// The mutable data of a layer: `[index, bytes, state]` or `[index, bytes, state, detail]`.
#[derive(Clone, Debug, PartialEq)]
pub struct ReportLayer {
    /// The index in the image's layers.
    pub index: u32,
    /// Bytes that are present.
    pub bytes: u64,
    /// The state.
    pub state: LayerState,
    /// Further details.
    pub detail: LayerDetail,
}

/// Details of a layer beyond its bytes and state. Times are in milliseconds after the pull's
/// `startedAt`; negative if before it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct LayerDetail {
    /// True if all bytes were on the node before the pull started and only have to be unpacked.
    #[serde(skip_serializing_if = "super::is_false")]
    pub blob_cached: bool,
    /// Uncompressed bytes written by unpacking so far.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unpacked_bytes: Option<u64>,
    /// The download rate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_per_sec: Option<f64>,
    /// The current wait, if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting_on: Option<WaitingOn>,
    /// When the first byte was observed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_ms: Option<i64>,
    /// When all bytes were first observed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub downloaded_ms: Option<i64>,
    /// When unpacking was first observed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extracting_ms: Option<i64>,
    /// When the layer was first observed unpacked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completed_ms: Option<i64>,
}

/// Data that an agent omitted or lost since it started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct Dropped {
    /// Pulls that were refused because too many were live.
    #[serde(skip_serializing_if = "super::is_zero")]
    pub refused: u64,
    /// Ended pulls that were evicted early because too many were kept.
    #[serde(skip_serializing_if = "super::is_zero")]
    pub evicted: u64,
    /// Ends of pulls that were never reported.
    #[serde(skip_serializing_if = "super::is_zero")]
    pub ends_lost: u64,
    /// Rejected input, by kind of anomaly.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub anomalies: BTreeMap<String, u64>,
}

/// The response to a report, with status 202 (200 for agents of version 0.1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct ReportAck {
    /// The server's epoch, which changes on every restart. A restarted server has no earlier
    /// reports.
    pub server_epoch: String,
    /// The sequence number of the last accepted report of this agent instance.
    pub accepted_seq: u64,
    /// True if the next report must be full.
    #[serde(default)]
    pub need_full: bool,
    /// The minimum time until the next report, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_report_ms: Option<u64>,
}

mod layer {
    //! Layers are arrays, as most of a report is layers.

    use serde::de::{Error as _, SeqAccess, Visitor};
    use serde::ser::SerializeTuple as _;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::{LayerDetail, ReportLayer};

    impl Serialize for ReportLayer {
        fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
            let plain = self.detail == LayerDetail::default();
            let mut tuple = s.serialize_tuple(if plain { 3 } else { 4 })?;
            tuple.serialize_element(&self.index)?;
            tuple.serialize_element(&self.bytes)?;
            tuple.serialize_element(&self.state)?;
            if !plain {
                tuple.serialize_element(&self.detail)?;
            }
            tuple.end()
        }
    }

    impl<'de> Deserialize<'de> for ReportLayer {
        fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
            d.deserialize_seq(LayerVisitor)
        }
    }

    struct LayerVisitor;

    impl<'de> Visitor<'de> for LayerVisitor {
        type Value = ReportLayer;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("[index, bytes, state] or [index, bytes, state, detail]")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<ReportLayer, A::Error> {
            let short = |length| A::Error::invalid_length(length, &LayerVisitor);
            let layer = ReportLayer {
                index: seq.next_element()?.ok_or_else(|| short(0))?,
                bytes: seq.next_element()?.ok_or_else(|| short(1))?,
                state: seq.next_element()?.ok_or_else(|| short(2))?,
                detail: seq.next_element()?.unwrap_or_default(),
            };
            // Elements added by later minor versions are ignored.
            while seq.next_element::<serde::de::IgnoredAny>()?.is_some() {}
            Ok(layer)
        }
    }
}
