//! Responses to single requests: lists, nodes, images and errors.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::enums::NodeState;
use super::status::PullStatus;
use crate::time::NodeTime;

/// `GET /api/v1/pulls`: live pulls, and ended pulls until they expire.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(optional_fields))]
#[serde(rename_all = "camelCase")]
pub struct PullList {
    /// The server's epoch, which changes on every restart.
    pub epoch: String,
    /// The position in the server's changes: `/api/v1/events?since=<epoch>-<seq>` continues from
    /// it.
    pub seq: u64,
    /// The server's clock.
    #[serde(with = "super::super::time")]
    #[cfg_attr(feature = "ts", ts(as = "String"))]
    pub now: NodeTime,
    /// The pulls, in the order of their ids.
    pub pulls: Vec<PullStatus>,
    /// If there are more, the value of `continue` for the next page.
    #[serde(rename = "continue", default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// `GET /api/v1/nodes`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(optional_fields))]
#[serde(rename_all = "camelCase")]
pub struct NodeList {
    /// The server's epoch, which changes on every restart.
    pub epoch: String,
    /// The position in the server's changes.
    pub seq: u64,
    /// The server's clock.
    #[serde(with = "super::super::time")]
    #[cfg_attr(feature = "ts", ts(as = "String"))]
    pub now: NodeTime,
    /// The nodes, in the order of their names.
    pub nodes: Vec<NodeStatus>,
}

/// A node, with totals over its live pulls.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(optional_fields))]
#[serde(rename_all = "camelCase")]
pub struct NodeStatus {
    /// The name.
    pub name: String,
    /// The state of its agent.
    pub state: NodeState,
    /// True if the server no longer keeps the node; only in a [`Frame`](super::Frame).
    #[serde(default, skip_serializing_if = "super::is_false")]
    #[cfg_attr(feature = "ts", ts(as = "Option<bool>"))]
    pub removed: bool,
    /// When its agent last reported, by the server's clock.
    #[serde(with = "super::super::time")]
    #[cfg_attr(feature = "ts", ts(as = "String"))]
    pub last_report_at: NodeTime,
    /// The version of its agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_version: Option<String>,
    /// The name and version of its container runtime.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime_version: Option<String>,
    /// The lead of the server's clock over the node's in milliseconds, estimated from reports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_offset_ms: Option<i64>,
    /// The number of live pulls.
    pub live: u64,
    /// The number of ended pulls that are still kept.
    pub ended: u64,
    /// Bytes to download, for live pulls with known sizes. A layer shared by several pulls counts
    /// once.
    pub to_download_bytes: u64,
    /// Bytes of `to_download_bytes` that are present.
    pub downloaded_bytes: u64,
    /// The download rate of the node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_per_sec: Option<f64>,
}

/// `GET /api/v1/images`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(optional_fields))]
#[serde(rename_all = "camelCase")]
pub struct ImageList {
    /// The server's epoch, which changes on every restart.
    pub epoch: String,
    /// The position in the server's changes.
    pub seq: u64,
    /// The server's clock.
    #[serde(with = "super::super::time")]
    #[cfg_attr(feature = "ts", ts(as = "String"))]
    pub now: NodeTime,
    /// The images of all known pulls, in the order of their names.
    pub images: Vec<ImageStatus>,
}

/// An image, with the phases of its pulls.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(optional_fields))]
#[serde(rename_all = "camelCase")]
pub struct ImageStatus {
    /// The best name known from its pulls: a full name, the repository, or the digest.
    pub name: String,
    /// The digest that the name points to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root_digest: Option<String>,
    /// The compressed size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_bytes: Option<u64>,
    /// The number of its pulls in each phase, by wire name.
    pub phases: BTreeMap<String, u64>,
    /// The number of nodes that pull it or have pulled it.
    pub nodes: u64,
}

/// The error of a request in the format of RFC 9457: `application/problem+json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(optional_fields))]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// The HTTP status.
    pub status: u16,
    /// The error; the same for every request that has it.
    pub title: String,
    /// Details about this request, and advice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The reason for programs, e.g. `too_large`.
    pub reason: String,
}
