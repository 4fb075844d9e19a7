//! Reports of agents, and the server's response.
//!
//! Immutable data of an image is sent once per image and agent instance, in
//! [`AgentReport::images`]. Mutable data is in [`AgentReport::pulls`], which contains complete
//! pulls.

use std::collections::BTreeMap;

use macro_rules_attribute::apply;

use super::enums::{EtaBasis, LayerState, Phase};
use super::status::{Failure, WaitingOn};
use crate::time::NodeTime;

/// The state of a node's pulls, either complete or only the changes: `POST /api/v1/report`.
#[apply(json_object)]
pub struct AgentReport {
    /// [`SCHEMA_VERSION`](super::SCHEMA_VERSION). Agents of version 0.1 do not send it.
    pub schema_version: String,
    /// The node.
    pub node_name: String,
    /// When the state was observed, by the node's clock.
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
#[apply(json_object)]
#[derive(Eq)]
pub struct AgentInfo {
    /// The version, e.g. `0.1.0`.
    pub version: String,
    /// An id that is new for each start of the agent.
    pub instance: String,
    /// When it started, by the node's clock.
    pub started_at: NodeTime,
    /// The maximum time until the next report, in milliseconds. An agent that is silent for several
    /// of these intervals is lost.
    pub interval_ms: u64,
}

/// The container runtime that an agent observes.
#[apply(json_object)]
#[derive(Default, Eq)]
pub struct NodeInfo {
    /// The name and version of the runtime, e.g. `containerd 2.4.2`.
    pub runtime_version: Option<String>,
    /// The containerd namespace that is observed.
    pub runtime_namespace: Option<String>,
    /// The snapshotter, if known.
    pub snapshotter: Option<String>,
}

/// The immutable data of an image.
#[apply(json_object)]
#[derive(Eq)]
pub struct ReportImage {
    /// The digest that the image name points to. `pulls` refer to the image by it.
    pub root_digest: String,
    /// The selected manifests. Containers run the first one.
    pub manifest_digests: Vec<String>,
    /// The platform, e.g. `linux/amd64`, if the image declares it.
    pub platform: Option<String>,
    /// Each layer once, lowest first.
    pub layers: Vec<ReportImageLayer>,
}

/// The immutable data of a layer.
#[apply(json_object)]
#[derive(Eq)]
pub struct ReportImageLayer {
    /// The digest of its blob.
    pub digest: String,
    /// The compressed size.
    pub size: u64,
    /// The media type according to the manifest.
    pub media_type: String,
    /// The build step that created the layer: at most 120 characters, without the values of `ARG`
    /// and `ENV`.
    pub created_by: Option<String>,
}

/// The mutable data of a pull.
#[apply(json_object)]
pub struct ReportPull {
    /// The id, which never changes.
    pub id: String,
    /// The root digest of its image, once the immutable data of the image has been sent.
    pub image: Option<String>,
    /// The digest that the image name points to, known before the image.
    pub root_digest: Option<String>,
    /// Host (without port) and path of the image.
    pub repository: Option<String>,
    /// The full names of the image.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
    /// The phase, or the outcome of an ended pull.
    pub phase: Phase,
    /// Why it failed, if it did.
    pub failure: Option<Failure>,
    /// The current wait, if no part of the pull makes progress.
    pub waiting_on: Option<WaitingOn>,
    /// The progress, 0 to 100.
    pub percent: Option<f64>,
    /// Bytes that were on the node before, or are served remotely.
    #[serde(default)]
    pub cached_bytes: u64,
    /// Other bytes that are present.
    #[serde(default)]
    pub downloaded_bytes: u64,
    /// Compressed bytes to unpack.
    pub to_extract_bytes: Option<u64>,
    /// Bytes of `to_extract_bytes` that are unpacked.
    #[serde(default)]
    pub extracted_bytes: u64,
    /// Downloaded bytes that had to be fetched again.
    #[serde(default)]
    pub wasted_bytes: u64,
    /// The download rate.
    pub bytes_per_sec: Option<f64>,
    /// The estimated remaining time.
    pub eta_seconds: Option<f64>,
    /// The optimistic bound of the remaining time.
    pub eta_low_seconds: Option<f64>,
    /// The pessimistic bound of the remaining time.
    pub eta_high_seconds: Option<f64>,
    /// The basis of the unpacking part of the remaining time.
    pub eta_basis: Option<EtaBasis>,
    /// When it started.
    pub started_at: NodeTime,
    /// When the manifest was first observed.
    pub downloading_at: Option<NodeTime>,
    /// When all bytes were first observed.
    pub extracting_at: Option<NodeTime>,
    /// When it ended, with any outcome.
    pub completed_at: Option<NodeTime>,
    /// The time of the last progress, if the pull is stalled.
    pub stalled_since: Option<NodeTime>,
    /// Since when it has been far slower than usual for its registry on its node.
    pub slow_since: Option<NodeTime>,
    /// Since when the agent has been unable to observe it.
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
#[apply(json_object)]
#[derive(Default)]
#[serde(default)]
pub struct LayerDetail {
    /// True if all bytes were on the node before the pull started and only have to be unpacked.
    #[serde(skip_serializing_if = "super::attributes::is_false")]
    pub blob_cached: bool,
    /// Uncompressed bytes written by unpacking so far.
    pub unpacked_bytes: Option<u64>,
    /// The download rate.
    pub bytes_per_sec: Option<f64>,
    /// The current wait, if any.
    pub waiting_on: Option<WaitingOn>,
    /// When the first byte was observed.
    pub started_ms: Option<i64>,
    /// When all bytes were first observed.
    pub downloaded_ms: Option<i64>,
    /// When unpacking was first observed.
    pub extracting_ms: Option<i64>,
    /// When the layer was first observed unpacked.
    pub completed_ms: Option<i64>,
}

/// Data that an agent omitted or lost since it started.
#[apply(json_object)]
#[derive(Default, Eq)]
#[serde(default)]
pub struct Dropped {
    /// Pulls that were refused because too many were live.
    #[serde(skip_serializing_if = "super::attributes::is_zero")]
    pub refused: u64,
    /// Ended pulls that were evicted early because too many were kept.
    #[serde(skip_serializing_if = "super::attributes::is_zero")]
    pub evicted: u64,
    /// Ends of pulls that were never reported.
    #[serde(skip_serializing_if = "super::attributes::is_zero")]
    pub ends_lost: u64,
    /// Rejected input, by kind of anomaly.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub anomalies: BTreeMap<String, u64>,
}

/// The response to a report, with status 202 (200 for agents of version 0.1).
#[apply(json_object)]
#[derive(Eq)]
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
