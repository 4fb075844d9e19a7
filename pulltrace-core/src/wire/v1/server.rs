//! What a server says of itself, and of all nodes together.

use serde::{Deserialize, Serialize};

use super::pod::ClusterStatus;
use crate::time::NodeTime;

/// `GET /api/v1/server`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(optional_fields))]
#[serde(rename_all = "camelCase")]
pub struct ServerStatus {
    /// The life of the server.
    pub epoch: String,
    /// Where in the server's changes this was true.
    pub seq: u64,
    /// The server's clock.
    #[serde(with = "super::super::time")]
    #[cfg_attr(feature = "ts", ts(as = "String"))]
    pub now: NodeTime,
    /// Its version and revision, for people: `0.1.0 (0123456789ab)`.
    pub version: String,
    /// Another one for each build of the page, so that a page knows that it is older than its server;
    /// absent where the server has no page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page: Option<String>,
    /// What people call the cluster; absent where nobody said it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_name: Option<String>,
    /// When this life of the server began. What ended before, it knows by reports alone.
    #[serde(with = "super::super::time")]
    #[cfg_attr(feature = "ts", ts(as = "String"))]
    pub started_at: NodeTime,
    /// How long a pull that ended is kept.
    pub keeps_ended_seconds: f64,
    /// Whether it hears of pods, and of what kubelets say.
    pub cluster: ClusterStatus,
    /// How fast bytes came to all nodes.
    pub throughput: Throughput,
}

/// How fast bytes came to all nodes together, in equal steps until now: 15 minutes of them at most, and
/// none from before the server started.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(optional_fields))]
#[serde(rename_all = "camelCase")]
pub struct Throughput {
    /// From one value to the next.
    pub step_seconds: f64,
    /// When the last value was taken, by the server's clock; absent where there is none yet.
    #[serde(
        with = "super::super::time::option",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    #[cfg_attr(feature = "ts", ts(as = "Option<String>"))]
    pub ends_at: Option<NodeTime>,
    /// The values, oldest first: the sum over the nodes whose speed was known; null where that was none.
    pub bytes_per_sec: Vec<Option<f64>>,
}
