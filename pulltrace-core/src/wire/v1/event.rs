//! The two stream formats: an event per change, and frames of changes.

use macro_rules_attribute::apply;
use serde::{Deserialize, Serialize};

use super::enums::EventType;
use super::list::NodeStatus;
use super::status::{LayerStatus, PullStatus};
use crate::time::NodeTime;

/// A change, as streamed by `GET /api/v1/events`.
#[apply(response)]
pub struct PullEvent {
    /// [`SCHEMA_VERSION`](super::SCHEMA_VERSION).
    pub schema_version: String,
    /// When the server sent the event, by its own clock.
    pub timestamp: NodeTime,
    /// The type of change.
    #[serde(rename = "type")]
    pub kind: EventType,
    /// The node.
    pub node_name: String,
    /// The latest state of the pull; without layers in an event about a layer.
    pub pull: Option<PullStatus>,
    /// The layer, if the event is about one.
    pub layer: Option<LayerStatus>,
}

/// Changes since the reader's last frame: `GET /api/v1/events?format=frame`.
///
/// Apply in this order: `rows`, `up`, `rm`, `nodes`.
#[apply(response)]
pub struct Frame {
    /// The reader's position in the server's sequence of changes.
    pub seq: u64,
    /// The server's clock.
    pub now: NodeTime,
    /// Rows that are new, or in which more than the progress changed. Each replaces the row with
    /// its id.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "ts", ts(as = "Option<Vec<PullStatus>>"))]
    pub rows: Vec<PullStatus>,
    /// The progress of the other rows that changed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "ts", ts(as = "Option<Vec<PullMotion>>"))]
    #[cfg_attr(
        feature = "openapi",
        schema(value_type = Vec<(u64, Option<f64>, Option<u64>, Option<u64>, Option<f64>, Option<f64>, Option<f64>, Option<f64>, Option<u64>, Vec<(u32, Option<u64>, Option<u64>, Option<f64>)>)>)
    )]
    pub up: Vec<PullMotion>,
    /// The ids of rows that the server no longer keeps.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "ts", ts(as = "Option<Vec<String>>"))]
    pub rm: Vec<String>,
    /// Nodes that changed. Each replaces the node with its name; a `removed` node is deleted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "ts", ts(as = "Option<Vec<NodeStatus>>"))]
    pub nodes: Vec<NodeStatus>,
}

/// The progress of a pull. It replaces all of these fields of its row: an absent field is unknown.
///
/// Serialised as an array, as most of the data in a stream is progress: `[row, percent,
/// downloadedBytes, extractedBytes, bytesPerSec, etaSeconds, etaLowSeconds, etaHighSeconds,
/// layersDone, layers]`, with null for unknown values.
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
    /// The row, as in [`PullStatus::row`].
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
    /// The layers whose bytes changed, with `?layers=embed`. Each number is as in [`LayerStatus`],
    /// null if unknown, and replaces the field of the row's layer.
    pub layers: Vec<LayerMotion>,
}

/// `[index, downloadedBytes, unpackedBytes, bytesPerSec]`.
pub type LayerMotion = (u32, Option<u64>, Option<u64>, Option<f64>);

/// A [`PullMotion`] as serialised.
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
