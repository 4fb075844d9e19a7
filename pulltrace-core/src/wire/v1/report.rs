//! What an agent tells its server, and what that answers.
//!
//! What never changes of an image is told once per image and agent instance, in
//! [`AgentReport::images`]; what changes is in [`AgentReport::pulls`], each pull whole.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::status::{Failure, WaitingOn};
use super::words::{EtaBasis, LayerState, Phase};
use crate::time::NodeTime;

/// The state of a node's pulls, whole or as far as it changed: `POST /api/v1/report`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct AgentReport {
    /// [`SCHEMA_VERSION`](super::SCHEMA_VERSION). An agent of version 0.1 does not say it.
    pub schema_version: String,
    /// The node.
    pub node_name: String,
    /// When the state was as told, by the node's clock.
    #[serde(with = "super::super::time")]
    pub timestamp: NodeTime,
    /// Grows with each report of this agent instance.
    pub sequence: u64,
    /// Whether `pulls` is everything there is: a pull that is absent is over. Otherwise it is each
    /// pull that changed since the last acknowledged report.
    pub full: bool,
    /// Who reports.
    pub agent: AgentInfo,
    /// What it watches.
    #[serde(default)]
    pub node: NodeInfo,
    /// What never changes of the images that `pulls` name, as far as this server was not told it yet
    /// by this agent instance. A full report has each.
    #[serde(default)]
    pub images: Vec<ReportImage>,
    /// The pulls, live and ended.
    #[serde(default)]
    pub pulls: Vec<ReportPull>,
    /// What was left out or lost, counted since the agent started.
    #[serde(default)]
    pub dropped: Dropped,
}

/// The agent that reports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct AgentInfo {
    /// Its version: `0.1.0`.
    pub version: String,
    /// Another one each time that it starts.
    pub instance: String,
    /// When it started, by the node's clock.
    #[serde(with = "super::super::time")]
    pub started_at: NodeTime,
    /// The longest time from this report to the next, in milliseconds: an agent that is silent for
    /// several of them is lost.
    pub interval_ms: u64,
}

/// What is watched.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct NodeInfo {
    /// Which runtime pulls, as it names itself: `containerd 2.4.2`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime_version: Option<String>,
    /// The containerd namespace that is watched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime_namespace: Option<String>,
    /// The snapshotter, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshotter: Option<String>,
}

/// What never changes of an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct ReportImage {
    /// The digest that the image's name points to; by it `pulls` name the image.
    pub root_digest: String,
    /// The chosen manifests; the first is the one that is run.
    pub manifest_digests: Vec<String>,
    /// `linux/amd64`, where the image says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    /// Each layer once, lowest first.
    pub layers: Vec<ReportImageLayer>,
}

/// What never changes of a layer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct ReportImageLayer {
    /// The digest of its blob.
    pub digest: String,
    /// What it weighs, compressed.
    pub size: u64,
    /// Its media type, as the manifest says it.
    pub media_type: String,
    /// The build step that made it: at most 120 characters, without the values of `ARG` and `ENV`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_by: Option<String>,
}

/// What changes of a pull.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct ReportPull {
    /// Which pull: the same for ever.
    pub id: String,
    /// The root digest of its image, once what never changes of that was told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// The digest that the image's name points to, known before the image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root_digest: Option<String>,
    /// Host (without port) and path of the image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// The image's whole names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
    /// What it is doing; of a pull that is over, its outcome.
    pub phase: Phase,
    /// Why it failed, where it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// What it waits for, where nothing of it moves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting_on: Option<WaitingOn>,
    /// How far it is, 0 to 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent: Option<f64>,
    /// What was on the node before, or is served remotely.
    #[serde(default)]
    pub cached_bytes: u64,
    /// What of the rest is here.
    #[serde(default)]
    pub downloaded_bytes: u64,
    /// What is to be unpacked, as compressed bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to_extract_bytes: Option<u64>,
    /// What of that is unpacked.
    #[serde(default)]
    pub extracted_bytes: u64,
    /// Bytes that came and had to be fetched again.
    #[serde(default)]
    pub wasted_bytes: u64,
    /// How fast its bytes come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_per_sec: Option<f64>,
    /// How much longer it takes, by the best guess.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eta_seconds: Option<f64>,
    /// How much longer it takes if it goes well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eta_low_seconds: Option<f64>,
    /// How much longer it takes if it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eta_high_seconds: Option<f64>,
    /// What the unpacking part of the time left rests on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eta_basis: Option<EtaBasis>,
    /// When it began.
    #[serde(with = "super::super::time")]
    pub started_at: NodeTime,
    /// When its manifest was first seen.
    #[serde(
        with = "super::super::time::option",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub downloading_at: Option<NodeTime>,
    /// When all bytes were first seen to be here.
    #[serde(
        with = "super::super::time::option",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub extracting_at: Option<NodeTime>,
    /// When it ended, however it did.
    #[serde(
        with = "super::super::time::option",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub completed_at: Option<NodeTime>,
    /// When it last moved, where it should and has not for long.
    #[serde(
        with = "super::super::time::option",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub stalled_since: Option<NodeTime>,
    /// Since when it is far slower than pulls from its registry usually are on its node.
    #[serde(
        with = "super::super::time::option",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub slow_since: Option<NodeTime>,
    /// Since when the agent has not been able to see it.
    #[serde(
        with = "super::super::time::option",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub stale_since: Option<NodeTime>,
    /// Its layers, by their place in the image.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub layers: Vec<ReportLayer>,
}

/// What changes of a layer: `[index, bytes, state]` or `[index, bytes, state, detail]`.
#[derive(Clone, Debug, PartialEq)]
pub struct ReportLayer {
    /// Its place in the image's layers, from 0.
    pub index: u32,
    /// What of it is here.
    pub bytes: u64,
    /// What it is doing.
    pub state: LayerState,
    /// What is known beyond that.
    pub detail: LayerDetail,
}

/// What is known of a layer beyond its bytes and state. Times are in milliseconds after the pull's
/// `startedAt`, which may be before it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct LayerDetail {
    /// Whether all its bytes were on the node before the pull began, and must only be unpacked.
    #[serde(skip_serializing_if = "super::is_false")]
    pub blob_cached: bool,
    /// Bytes that unpacking has written so far, uncompressed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unpacked_bytes: Option<u64>,
    /// How fast its bytes come.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_per_sec: Option<f64>,
    /// What it waits for, where it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting_on: Option<WaitingOn>,
    /// When its first byte was seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_ms: Option<i64>,
    /// When all its bytes were seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub downloaded_ms: Option<i64>,
    /// When its unpacking was seen to begin.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extracting_ms: Option<i64>,
    /// When it was seen unpacked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completed_ms: Option<i64>,
}

/// What an agent left out or lost, counted since it started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct Dropped {
    /// Pulls that were refused because too many were live.
    #[serde(skip_serializing_if = "super::is_zero")]
    pub refused: u64,
    /// Ended pulls that went before their time because too many were kept.
    #[serde(skip_serializing_if = "super::is_zero")]
    pub evicted: u64,
    /// Ends that no report told.
    #[serde(skip_serializing_if = "super::is_zero")]
    pub ends_lost: u64,
    /// Inputs that cannot be true, by their word.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub anomalies: BTreeMap<String, u64>,
}

/// The answer to a report, with status 202 (200 to an agent of version 0.1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct ReportAck {
    /// The life of the server: another one knows nothing of earlier reports.
    pub server_epoch: String,
    /// The sequence of the last report of this agent instance that was taken.
    pub accepted_seq: u64,
    /// Whether the next report must be full.
    #[serde(default)]
    pub need_full: bool,
    /// How long to wait before the next report at the least, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_report_ms: Option<u64>,
}

mod layer {
    //! A layer is an array, as most of a report is layers.

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
            d.deserialize_seq(Reader)
        }
    }

    struct Reader;

    impl<'de> Visitor<'de> for Reader {
        type Value = ReportLayer;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("[index, bytes, state] or [index, bytes, state, detail]")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<ReportLayer, A::Error> {
            let short = |length| A::Error::invalid_length(length, &Reader);
            let layer = ReportLayer {
                index: seq.next_element()?.ok_or_else(|| short(0))?,
                bytes: seq.next_element()?.ok_or_else(|| short(1))?,
                state: seq.next_element()?.ok_or_else(|| short(2))?,
                detail: seq.next_element()?.unwrap_or_default(),
            };
            // What a later minor version adds behind is not known here.
            while seq.next_element::<serde::de::IgnoredAny>()?.is_some() {}
            Ok(layer)
        }
    }
}
