//! The output of a table: changes, counters and totals.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::observation::Anomaly;
use crate::pull::Pull;
use crate::unit::{Bytes, BytesPerSecond};

/// A change to a pull.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// The kind of change.
    pub kind: ChangeKind,
    /// The pull after the change.
    pub pull: Arc<Pull>,
}

/// The kind of a [`Change`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// The pull is new, or live again.
    Started,
    /// The pull changed.
    Progressed,
    /// The pull ended.
    Ended,
}

/// Counters since the table was created.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Rejected input, by kind of anomaly.
    pub anomalies: BTreeMap<Anomaly, u64>,
    /// Pulls refused because [`Limits::max_live`](crate::Limits::max_live) was reached.
    pub refused: u64,
    /// Ended pulls evicted early because [`Limits::max_ended`](crate::Limits::max_ended) was
    /// reached.
    pub evicted: u64,
}

/// Totals over the live pulls of a node. A layer shared by several pulls counts once.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct NodeTotals {
    /// The number of live pulls.
    pub live_pulls: usize,
    /// Bytes to download, for images whose manifest is known.
    pub to_download: Bytes,
    /// Bytes of `to_download` already downloaded.
    pub downloaded: Bytes,
    /// The download rate of the node; `None` if unknown.
    pub rate: Option<BytesPerSecond>,
}
