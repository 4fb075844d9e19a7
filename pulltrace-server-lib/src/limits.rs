//! The bounds of a server's state, and what happens at each.

use std::time::Duration;

/// The bounds of a server's state. What goes over one is counted in [`Counters`](crate::fleet::Counters).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Nodes: a report of one more is refused. Default 20,000.
    pub nodes: usize,
    /// Live pulls of one node: one more is left out. Default 1,000.
    pub live_per_node: usize,
    /// Live pulls of all nodes: one more is left out. Default 200,000.
    pub live: usize,
    /// Ended pulls of one node: the oldest goes. Default 1,000.
    pub ended_per_node: usize,
    /// Ended pulls of all nodes: the oldest goes. Only the youngest half keeps its layers. Live pulls
    /// never yield to ended ones. Default 100,000.
    pub ended: usize,
    /// How long an ended pull is kept; how long a silent node's pulls are waited for; and how long a
    /// silent node without pulls is kept. Default 30 minutes.
    pub history_ttl: Duration,
    /// A node is lost when it was silent for this and for five of the intervals that its agent
    /// announced. Default 10 seconds.
    pub lost_after: Duration,
    /// Removals that are remembered: a reader whose cursor is older than the oldest must start anew.
    /// Default 16,384.
    pub tombstones: usize,
    /// Slots of pods that want an image, of one node: one more is left out. Default 2,000.
    pub wants_per_node: usize,
    /// The same of all nodes. Default 200,000.
    pub wants: usize,
    /// Reports that wait to be applied: one more is refused as busy. Default 256.
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
            wants_per_node: 2_000,
            wants: 200_000,
            queue: 256,
        }
    }
}
