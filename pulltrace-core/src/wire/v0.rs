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
    pub timestamp: NodeTime,
    /// The downloads; null if there are none.
    pub pulls: Option<Vec<PullState>>,
}

/// Ingests whose references have the same text before the `@`; usually a single one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PullState {
    /// The text before the `@`, or the whole reference. Unmodified agents report no image name.
    pub image_ref: String,
    /// The ingests.
    pub layers: Option<Vec<LayerState>>,
    /// When the first of them started; the year 1 if unknown.
    pub started_at: Option<NodeTime>,
    /// True if all of their sizes are known.
    pub total_known: bool,
}

/// An ingest.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LayerState {
    /// The reference of the ingest: `layer-sha256:…`, `manifest-sha256:…`.
    pub digest: String,
    /// The media type, if known.
    pub media_type: Option<String>,
    /// The size; 0 if unknown.
    pub total_bytes: i64,
    /// Bytes downloaded. After the ingest has ended it is the full size, even if it was aborted.
    pub downloaded_bytes: i64,
    /// True if the size is known.
    pub total_known: bool,
}
