//! What agents of the Go pulltrace, version 0.1, report. They say no `schemaVersion` and no ids, and their
//! lists may be null.
//!
//! [`check`](super::check) says what of it is believed.

use serde::{Deserialize, Serialize};

use crate::time::NodeTime;

/// Everything that is fetched on a node: `POST /api/v1/report`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AgentReport {
    /// The node.
    pub node_name: String,
    /// When it was seen, by the node's clock.
    #[serde(with = "super::time")]
    pub timestamp: NodeTime,
    /// What is fetched; null where that is nothing.
    #[serde(default)]
    pub pulls: Option<Vec<PullState>>,
}

/// Ingests that share what stands before an `@` in their references: most often a single one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PullState {
    /// What stands before the `@`, or the reference itself: no image's name from a stock agent.
    #[serde(default)]
    pub image_ref: String,
    /// The ingests.
    #[serde(default)]
    pub layers: Option<Vec<LayerState>>,
    /// When the first of them began; the year 1 where that is not known.
    #[serde(with = "super::time::option", default)]
    pub started_at: Option<NodeTime>,
    /// Whether the sizes of all of them are known.
    #[serde(default)]
    pub total_known: bool,
}

/// One ingest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LayerState {
    /// The reference of the ingest: `layer-sha256:…`, `manifest-sha256:…`.
    #[serde(default)]
    pub digest: String,
    /// The media type, where it is told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// The size; 0 where it is not known.
    #[serde(default)]
    pub total_bytes: i64,
    /// Bytes that are here; all of them once the ingest is gone, however it ended.
    #[serde(default)]
    pub downloaded_bytes: i64,
    /// Whether the size is known.
    #[serde(default)]
    pub total_known: bool,
}
