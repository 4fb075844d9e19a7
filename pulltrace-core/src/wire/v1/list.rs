//! Responses to single requests: lists, nodes, images and errors.

use std::collections::BTreeMap;

use macro_rules_attribute::apply;

use super::enums::NodeState;
use super::status::PullStatus;
use crate::time::NodeTime;

/// `GET /api/v1/pulls`: live pulls, and ended pulls until they expire.
#[apply(response)]
pub struct PullList {
    /// The server's epoch, which changes on every restart.
    pub epoch: String,
    /// The position in the server's changes: `/api/v1/events?since=<epoch>-<seq>` continues from
    /// it.
    pub seq: u64,
    /// The server's clock.
    pub now: NodeTime,
    /// The pulls, in the order of their ids.
    pub pulls: Vec<PullStatus>,
    /// If there are more, the value of `continue` for the next page.
    #[serde(rename = "continue")]
    pub next: Option<String>,
}

/// `GET /api/v1/nodes`.
#[apply(response)]
pub struct NodeList {
    /// The server's epoch, which changes on every restart.
    pub epoch: String,
    /// The position in the server's changes.
    pub seq: u64,
    /// The server's clock.
    pub now: NodeTime,
    /// The nodes, in the order of their names.
    pub nodes: Vec<NodeStatus>,
}

/// A node, with totals over its live pulls.
#[apply(response)]
pub struct NodeStatus {
    /// The name.
    pub name: String,
    /// The state of its agent.
    pub state: NodeState,
    /// True if the server no longer keeps the node; only in a [`Frame`](super::Frame).
    #[serde(default, skip_serializing_if = "super::attributes::is_false")]
    #[cfg_attr(feature = "ts", ts(as = "Option<bool>"))]
    pub removed: bool,
    /// When its agent last reported, by the server's clock.
    pub last_report_at: NodeTime,
    /// The version of its agent.
    pub agent_version: Option<String>,
    /// The name and version of its container runtime.
    pub runtime_version: Option<String>,
    /// The lead of the server's clock over the node's in milliseconds, estimated from reports.
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
    pub bytes_per_sec: Option<f64>,
}

/// `GET /api/v1/images`.
#[apply(response)]
pub struct ImageList {
    /// The server's epoch, which changes on every restart.
    pub epoch: String,
    /// The position in the server's changes.
    pub seq: u64,
    /// The server's clock.
    pub now: NodeTime,
    /// The images of all known pulls, in the order of their names.
    pub images: Vec<ImageStatus>,
}

/// An image, with the phases of its pulls.
#[apply(response)]
pub struct ImageStatus {
    /// The best name known from its pulls: a full name, the repository, or the digest.
    pub name: String,
    /// The digest that the name points to.
    pub root_digest: Option<String>,
    /// The compressed size.
    pub total_bytes: Option<u64>,
    /// The number of its pulls in each phase, by wire name.
    pub phases: BTreeMap<String, u64>,
    /// The number of nodes that pull it or have pulled it.
    pub nodes: u64,
}

/// The error of a request in the format of RFC 9457: `application/problem+json`.
#[apply(response)]
#[derive(Eq)]
pub struct Problem {
    /// The HTTP status.
    pub status: u16,
    /// The error; the same for every request that has it.
    pub title: String,
    /// Details about this request, and advice.
    pub detail: Option<String>,
    /// The reason for programs, e.g. `too_large`.
    pub reason: String,
}
