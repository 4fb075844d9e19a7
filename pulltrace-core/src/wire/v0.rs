//! Reports of the Go agent, version 0.1. They have no `schemaVersion` and no ids, and their lists
//! may be null.
//!
//! [`check`](super::check) decides which values are used.

use serde::{Deserialize, Serialize};

use crate::time::NodeTime;

/// All downloads on a node: `POST /api/v1/report`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AgentReport {
    /// The node.
    pub node_name: String,
    /// When the downloads were observed, by the node's clock.
    #[serde(with = "super::time")]
    pub timestamp: NodeTime,
    /// The downloads; null if there are none.
    #[serde(default)]
    pub pulls: Option<Vec<PullState>>,
}

/// Ingests whose references have the same text before the `@`; usually a single one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PullState {
    /// The text before the `@`, or the whole reference. Unmodified agents report no image name.
    #[serde(default)]
    pub image_ref: String,
    /// The ingests.
    #[serde(default)]
    pub layers: Option<Vec<LayerState>>,
    /// When the first of them started; the year 1 if unknown.
    #[serde(with = "super::time::option", default)]
    pub started_at: Option<NodeTime>,
    /// True if all of their sizes are known.
    #[serde(default)]
    pub total_known: bool,
}

/// An ingest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LayerState {
    /// The reference of the ingest: `layer-sha256:…`, `manifest-sha256:…`.
    #[serde(default)]
    pub digest: String,
    /// The media type, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// The size; 0 if unknown.
    #[serde(default)]
    pub total_bytes: i64,
    /// Bytes downloaded. After the ingest has ended it is the full size, even if it was aborted.
    #[serde(default)]
    pub downloaded_bytes: i64,
    /// True if the size is known.
    #[serde(default)]
    pub total_known: bool,
}
