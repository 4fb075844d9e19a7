//! What a server answers at once: lists, nodes, images, and what went wrong.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::status::PullStatus;
use super::words::NodeState;
use crate::time::NodeTime;

/// `GET /api/v1/pulls`: live pulls, and ended ones until they are forgotten.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(optional_fields))]
#[serde(rename_all = "camelCase")]
pub struct PullList {
    /// The life of the server.
    pub epoch: String,
    /// Where in the server's changes this was true: `/api/v1/events?since=<epoch>-<seq>` goes on from it.
    pub seq: u64,
    /// The server's clock.
    #[serde(with = "super::super::time")]
    #[cfg_attr(feature = "ts", ts(as = "String"))]
    pub now: NodeTime,
    /// The pulls, in the order of their ids.
    pub pulls: Vec<PullStatus>,
    /// Where there are more: the value of `continue` for the next page.
    #[serde(rename = "continue", default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// `GET /api/v1/nodes`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(optional_fields))]
#[serde(rename_all = "camelCase")]
pub struct NodeList {
    /// The life of the server.
    pub epoch: String,
    /// Where in the server's changes this was true.
    pub seq: u64,
    /// The server's clock.
    #[serde(with = "super::super::time")]
    #[cfg_attr(feature = "ts", ts(as = "String"))]
    pub now: NodeTime,
    /// The nodes, in the order of their names.
    pub nodes: Vec<NodeStatus>,
}

/// One node, and the sums over its live pulls.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(optional_fields))]
#[serde(rename_all = "camelCase")]
pub struct NodeStatus {
    /// Its name.
    pub name: String,
    /// Whether its agent is heard.
    pub state: NodeState,
    /// Set where the server keeps it no more: only in a [`Frame`](super::Frame).
    #[serde(default, skip_serializing_if = "super::is_false")]
    #[cfg_attr(feature = "ts", ts(as = "Option<bool>"))]
    pub removed: bool,
    /// When its agent was last heard, by the server's clock.
    #[serde(with = "super::super::time")]
    #[cfg_attr(feature = "ts", ts(as = "String"))]
    pub last_report_at: NodeTime,
    /// The version of its agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_version: Option<String>,
    /// Which runtime pulls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime_version: Option<String>,
    /// How far the server's clock is ahead of the node's, in milliseconds, as near as reports tell it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_offset_ms: Option<i64>,
    /// Pulls that are going on.
    pub live: u64,
    /// Pulls that ended and are still known.
    pub ended: u64,
    /// Bytes to download, of live pulls whose sizes are known; a layer that several share counts once.
    pub to_download_bytes: u64,
    /// What of them is here.
    pub downloaded_bytes: u64,
    /// How fast bytes come, over all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_per_sec: Option<f64>,
}

/// `GET /api/v1/images`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(optional_fields))]
#[serde(rename_all = "camelCase")]
pub struct ImageList {
    /// The life of the server.
    pub epoch: String,
    /// Where in the server's changes this was true.
    pub seq: u64,
    /// The server's clock.
    #[serde(with = "super::super::time")]
    #[cfg_attr(feature = "ts", ts(as = "String"))]
    pub now: NodeTime,
    /// The images of all known pulls, in the order of their names.
    pub images: Vec<ImageStatus>,
}

/// One image, and what its pulls are doing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(optional_fields))]
#[serde(rename_all = "camelCase")]
pub struct ImageStatus {
    /// The best name that any of its pulls knows: the whole name, or the repository, or the digest.
    pub name: String,
    /// The digest that the name points to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root_digest: Option<String>,
    /// What it weighs, compressed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_bytes: Option<u64>,
    /// How many of its pulls are in each phase, by its word.
    pub phases: BTreeMap<String, u64>,
    /// How many nodes pull it or pulled it.
    pub nodes: u64,
}

/// Why a request was refused, as RFC 9457 has it: `application/problem+json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(optional_fields))]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// The status of the answer.
    pub status: u16,
    /// What is wrong, the same for each request with this fault.
    pub title: String,
    /// What is wrong with this one, and what to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// One word for programs: `too_large`.
    pub reason: String,
}
