//! What a table gives back: changes, counts and sums.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::observation::Anomaly;
use crate::pull::Pull;
use crate::unit::{Bytes, BytesPerSecond};

/// What happened to a row.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// What kind of thing.
    pub kind: ChangeKind,
    /// The pull as it is now.
    pub pull: Arc<Pull>,
}

/// What kind of thing happened to a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// It is new, or lives again.
    Started,
    /// Something of it changed.
    Progressed,
    /// It ended.
    Ended,
}

/// What was counted since the table was made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Observations that cannot be true.
    pub anomalies: BTreeMap<Anomaly, u64>,
    /// Pulls that were refused because [`Limits::live`](crate::Limits::live) was reached.
    pub refused: u64,
    /// Ended pulls that went before their time because [`Limits::ended`](crate::Limits::ended) was reached.
    pub evicted: u64,
}

/// The sums of one node over its live pulls; a layer that several share counts once.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct NodeSums {
    /// Pulls that are going on.
    pub live: usize,
    /// Bytes to download, of images whose manifests are here.
    pub to_download: Bytes,
    /// What of them is here.
    pub downloaded: Bytes,
    /// How fast bytes come, over all; `None` where that is not known.
    pub rate: Option<BytesPerSecond>,
}
