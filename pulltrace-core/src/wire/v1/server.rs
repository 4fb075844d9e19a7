//! The server's own status, and totals over all nodes.

use macro_rules_attribute::apply;

use super::pod::ClusterStatus;
use crate::time::NodeTime;

/// `GET /api/v1/server`.
#[apply(response)]
pub struct ServerStatus {
    /// The server's epoch, which changes on every restart.
    pub epoch: String,
    /// The position in the server's changes.
    pub seq: u64,
    /// The server's clock.
    pub now: NodeTime,
    /// The version and revision, for display: `0.1.0 (0123456789ab)`.
    pub version: String,
    /// A value that changes with each build of the web page, so that a loaded page notices a newer
    /// server; absent if the server has no page.
    pub page: Option<String>,
    /// The display name of the cluster, if configured.
    pub cluster_name: Option<String>,
    /// When the server started. Pulls that ended earlier are known only from reports.
    pub started_at: NodeTime,
    /// The retention period of ended pulls.
    pub keeps_ended_seconds: f64,
    /// The state of the server's Kubernetes sources.
    pub cluster: ClusterStatus,
    /// The download rate of all nodes.
    pub throughput: Throughput,
}

/// The download rate of all nodes together, in equal steps until now. It covers at most 15 minutes,
/// and starts with the server.
#[apply(response)]
pub struct Throughput {
    /// The time between two values.
    pub step_seconds: f64,
    /// When the last value was measured, by the server's clock; absent before the first.
    pub ends_at: Option<NodeTime>,
    /// The values, oldest first: the sum over the nodes whose rate was known, or null if none was.
    pub bytes_per_sec: Vec<Option<f64>>,
}
