//! The bounds of a server's state.

use std::time::Duration;

/// The bounds of a server's state. [`Counters`](crate::change::Counters) counts everything beyond
/// them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Nodes; reports of further nodes are rejected. Default 20,000.
    pub nodes: usize,
    /// Live pulls per node; further ones are dropped. Default 1,000.
    pub live_per_node: usize,
    /// Live pulls of all nodes; further ones are dropped. Default 200,000.
    pub live: usize,
    /// Ended pulls per node; the oldest is evicted. Default 1,000.
    pub ended_per_node: usize,
    /// Ended pulls of all nodes; the oldest is evicted. Only the newest half keeps its layers. Live
    /// pulls are never evicted for ended ones. Default 100,000.
    pub ended: usize,
    /// Retention of ended pulls, of a silent node's live pulls, and of a silent node without pulls.
    /// Default 30 minutes.
    pub history_ttl: Duration,
    /// A node is lost after it was silent for this long and for five report intervals of its agent.
    /// Default 10 seconds.
    pub lost_after: Duration,
    /// Removals that are remembered; a reader with an older cursor must start over. Default 16,384.
    pub tombstones: usize,
    /// Containers and volumes per node that need an image; further ones are dropped. Default 2,000.
    pub demands_per_node: usize,
    /// Containers and volumes of all nodes that need an image; further ones are dropped. Default
    /// 200,000.
    pub demands: usize,
    /// Reports waiting to be applied; further ones are rejected as busy. Default 256.
    pub queue: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            nodes: 20_000,
            live_per_node: 1_000,
            live: 200_000,
            ended_per_node: 1_000,
            ended: 100_000,
            history_ttl: Duration::from_mins(30),
            lost_after: Duration::from_secs(10),
            tombstones: 16_384,
            demands_per_node: 2_000,
            demands: 200_000,
            queue: 256,
        }
    }
}
