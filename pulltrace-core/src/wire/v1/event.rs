//! The two forms of the stream: an event per change, and frames of what changed.

use serde::{Deserialize, Serialize};

use super::list::NodeStatus;
use super::status::{LayerStatus, PullStatus};
use crate::time::NodeTime;

/// One change, as `GET /api/v1/events` streams it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(optional_fields))]
#[serde(rename_all = "camelCase")]
pub struct PullEvent {
    /// [`SCHEMA_VERSION`](super::SCHEMA_VERSION).
    pub schema_version: String,
    /// When the server said it, by its own clock.
    #[serde(with = "super::super::time")]
    #[cfg_attr(feature = "ts", ts(as = "String"))]
    pub timestamp: NodeTime,
    /// What happened.
    #[serde(rename = "type")]
    pub kind: EventType,
    /// The node.
    pub node_name: String,
    /// The pull, in its latest state; of a layer's event without its layers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pull: Option<PullStatus>,
    /// The layer, where it is one that changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layer: Option<LayerStatus>,
}

/// What happened to a pull or a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
#[non_exhaustive]
pub enum EventType {
    /// A pull is new to the reader.
    #[serde(rename = "pull.started")]
    PullStarted,
    /// Something of it changed.
    #[serde(rename = "pull.progress")]
    PullProgress,
    /// It is over, and the image is there.
    #[serde(rename = "pull.completed")]
    PullCompleted,
    /// It is over, and the image is not there or nobody knows: its `outcome` says which.
    #[serde(rename = "pull.failed")]
    PullFailed,
    /// A layer's first byte came.
    #[serde(rename = "layer.started")]
    LayerStarted,
    /// Something of it changed.
    #[serde(rename = "layer.progress")]
    LayerProgress,
    /// Nothing is left to do of it.
    #[serde(rename = "layer.completed")]
    LayerCompleted,
    /// A word that this version does not know.
    #[serde(other)]
    #[cfg_attr(feature = "ts", ts(skip))]
    Other,
}

/// What changed since the reader's last frame: `GET /api/v1/events?format=frame`.
///
/// Apply in this order: `rows`, `up`, `rm`, `nodes`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(optional_fields))]
#[serde(rename_all = "camelCase")]
pub struct Frame {
    /// Where in the server's changes the reader is now.
    pub seq: u64,
    /// The server's clock.
    #[serde(with = "super::super::time")]
    #[cfg_attr(feature = "ts", ts(as = "String"))]
    pub now: NodeTime,
    /// Rows that are new, or of which more changed than moves: each replaces the row of its id.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "ts", ts(as = "Option<Vec<PullStatus>>"))]
    pub rows: Vec<PullStatus>,
    /// What moves of the other rows that changed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "ts", ts(as = "Option<Vec<PullMotion>>"))]
    #[cfg_attr(
        feature = "openapi",
        schema(value_type = Vec<(u64, Option<f64>, Option<u64>, Option<u64>, Option<f64>, Option<f64>, Option<f64>, Option<f64>, Option<u64>, Vec<(u32, Option<u64>, Option<u64>, Option<f64>)>)>)
    )]
    pub up: Vec<PullMotion>,
    /// The ids of rows that the server keeps no more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "ts", ts(as = "Option<Vec<String>>"))]
    pub rm: Vec<String>,
    /// Nodes that changed: each replaces the one of its name. One that is `removed` goes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "ts", ts(as = "Option<Vec<NodeStatus>>"))]
    pub nodes: Vec<NodeStatus>,
}

/// What moves of a pull. It replaces all of these fields of its row: one that is absent is unknown.
///
/// As most of what a reader is sent is this, it is an array: `[row, percent, downloadedBytes,
/// extractedBytes, bytesPerSec, etaSeconds, etaLowSeconds, etaHighSeconds, layersDone, layers]`, with
/// null for what is unknown.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(
    feature = "ts",
    derive(ts_rs::TS),
    ts(
        type = "[row: number, percent: number | null, downloadedBytes: number | null, extractedBytes: number | null, bytesPerSec: number | null, etaSeconds: number | null, etaLowSeconds: number | null, etaHighSeconds: number | null, layersDone: number | null, layers: Array<[index: number, downloadedBytes: number | null, unpackedBytes: number | null, bytesPerSec: number | null]>]"
    )
)]
#[serde(from = "MotionFields", into = "MotionFields")]
pub struct PullMotion {
    /// Which pull: as in [`PullStatus::row`].
    pub row: u64,
    /// As in [`PullStatus::percent`].
    pub percent: Option<f64>,
    /// As in [`PullStatus::downloaded_bytes`].
    pub downloaded_bytes: Option<u64>,
    /// As in [`PullStatus::extracted_bytes`].
    pub extracted_bytes: Option<u64>,
    /// As in [`PullStatus::bytes_per_sec`].
    pub bytes_per_sec: Option<f64>,
    /// As in [`PullStatus::eta_seconds`].
    pub eta_seconds: Option<f64>,
    /// As in [`PullStatus::eta_low_seconds`].
    pub eta_low_seconds: Option<f64>,
    /// As in [`PullStatus::eta_high_seconds`].
    pub eta_high_seconds: Option<f64>,
    /// As in [`PullStatus::layers_done`].
    pub layers_done: Option<u64>,
    /// The layers whose bytes moved, with `?layers=embed`; each number as in [`LayerStatus`], null
    /// where it is unknown. They replace these fields of the row's layers.
    pub layers: Vec<LayerMotion>,
}

/// `[index, downloadedBytes, unpackedBytes, bytesPerSec]`.
pub type LayerMotion = (u32, Option<u64>, Option<u64>, Option<f64>);

/// A [`PullMotion`] as it is written.
type MotionFields = (
    u64,
    Option<f64>,
    Option<u64>,
    Option<u64>,
    Option<f64>,
    Option<f64>,
    Option<f64>,
    Option<f64>,
    Option<u64>,
    Vec<LayerMotion>,
);

impl From<PullMotion> for MotionFields {
    fn from(motion: PullMotion) -> Self {
        (
            motion.row,
            motion.percent,
            motion.downloaded_bytes,
            motion.extracted_bytes,
            motion.bytes_per_sec,
            motion.eta_seconds,
            motion.eta_low_seconds,
            motion.eta_high_seconds,
            motion.layers_done,
            motion.layers,
        )
    }
}

impl From<MotionFields> for PullMotion {
    fn from(fields: MotionFields) -> Self {
        let (row, percent, downloaded_bytes, extracted_bytes, bytes_per_sec, ..) = fields;
        let (.., eta_seconds, eta_low_seconds, eta_high_seconds, layers_done, layers) = fields;
        Self {
            row,
            percent,
            downloaded_bytes,
            extracted_bytes,
            bytes_per_sec,
            eta_seconds,
            eta_low_seconds,
            eta_high_seconds,
            layers_done,
            layers,
        }
    }
}
