//! Changes as data, passed from the fleet and the correlator to the table and to metrics.

mod correction;
mod pod;
mod stats;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use pulltrace_core::wire::v1::{NodeState, NodeStatus};
use pulltrace_core::{
    Bytes, BytesPerSecond, ChangeKind, Digest, FailureReason, Links, Namespace, NodeName, NodeTime,
    Outcome, Pull, PullId,
};

pub use correction::Correction;
pub(crate) use correction::shift;
pub use pod::{ImageState, ImageView, PodView};
pub use stats::{CorrelateStats, Counters, PerPhase, Stats};

/// The changes made by one step.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Changes {
    /// New and changed pulls, in order. If a pull appears twice, the last entry is current.
    pub pulls: Vec<PullChange>,
    /// Removed pulls. Apply them after `pulls`.
    pub removed_pulls: Vec<PullId>,
    /// New and changed nodes.
    pub nodes: Vec<NodeView>,
    /// Removed nodes.
    pub removed_nodes: Vec<NodeName>,
    /// New and changed pods that wait for images.
    pub pods: Vec<PodView>,
    /// Pods that are no longer shown.
    pub removed_pods: Vec<PodView>,
    /// Ended pulls to count, once each.
    pub ended: Vec<EndedPull>,
    /// Bytes downloaded over the network.
    pub downloaded: Vec<DownloadedBytes>,
}

impl Changes {
    /// Reports whether it is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pulls.is_empty()
            && self.removed_pulls.is_empty()
            && self.nodes.is_empty()
            && self.removed_nodes.is_empty()
            && self.pods.is_empty()
            && self.removed_pods.is_empty()
            && self.ended.is_empty()
            && self.downloaded.is_empty()
    }
}

/// A pull that is new or changed.
#[derive(Clone, Debug)]
pub struct PullChange {
    /// The kind of change.
    pub kind: ChangeKind,
    /// The current state of the pull.
    pub pull: Arc<Pull>,
    /// Converts times of its node to the server's clock.
    pub correction: Correction,
    /// The extent of the change.
    pub scope: Scope,
    /// Its links to pods; `None` if unknown.
    pub links: Option<Arc<Links>>,
}

impl PullChange {
    /// Creates a change of a whole pull, without a clock correction or links.
    #[must_use]
    pub const fn new(kind: ChangeKind, pull: Arc<Pull>) -> Self {
        Self { kind, pull, correction: Correction::NONE, scope: Scope::Full, links: None }
    }
}

/// The extent of a change, smallest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Only fields of [`PullMotion`](pulltrace_core::wire::v1::PullMotion).
    Motion,
    /// Other fields of layers. For readers without layers this is the same as `Motion`, which has
    /// the number of finished layers.
    Layers,
    /// Any field.
    Full,
}

/// The current state of a node.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct NodeView {
    /// The node's name.
    pub name: NodeName,
    /// The state of its agent.
    pub state: NodeState,
    /// When its last report was received, by the server's clock.
    pub last_report_at: NodeTime,
    /// The version of its agent; `None` if not reported.
    pub agent_version: Option<Arc<str>>,
    /// The container runtime and its version; `None` if not reported.
    pub runtime_version: Option<Arc<str>>,
    /// Offset of the server's clock from the node's in milliseconds; positive if the server is
    /// ahead.
    pub clock_offset_ms: Option<i64>,
    /// Totals of its live pulls.
    pub live: LiveTotals,
    /// Number of ended pulls that are kept.
    pub ended: usize,
}

impl NodeView {
    /// Returns the wire type.
    #[must_use]
    pub fn status(&self) -> NodeStatus {
        NodeStatus {
            name: self.name.to_string(),
            state: self.state,
            removed: false,
            last_report_at: self.last_report_at,
            agent_version: self.agent_version.as_deref().map(str::to_owned),
            runtime_version: self.runtime_version.as_deref().map(str::to_owned),
            clock_offset_ms: self.clock_offset_ms,
            live: self.live.pulls,
            ended: self.ended as u64,
            to_download_bytes: self.live.to_download.0,
            downloaded_bytes: self.live.downloaded.0,
            bytes_per_sec: self.live.rate.map(f64::round),
        }
    }
}

/// Totals of a node's live pulls. A layer shared by several pulls counts once.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct LiveTotals {
    /// Number of pulls.
    pub pulls: u64,
    /// Bytes to download, as far as sizes are known.
    pub to_download: Bytes,
    /// Bytes already downloaded.
    pub downloaded: Bytes,
    /// Download rate in bytes per second; `None` if unknown for all pulls.
    pub rate: Option<f64>,
}

impl LiveTotals {
    /// Sums up pulls.
    pub(crate) fn from_pulls<'a>(pulls: impl Iterator<Item = &'a Arc<Pull>>) -> Self {
        let mut seen: HashSet<(&Namespace, &Digest)> = HashSet::new();
        let mut totals = Self::default();
        for pull in pulls {
            totals.pulls += 1;
            if let Some(speed) = pull.motion.rate {
                *totals.rate.get_or_insert(0.0) += speed.get();
            }
            // Agents of version 0.1 report a blob without its image.
            if let PullId::Ingest { digest, .. } = &pull.id
                && let Some(size) = pull.to_download
                && seen.insert((pull.id.namespace(), digest))
            {
                totals.to_download += size;
                totals.downloaded += pull.motion.downloaded;
            }
            for layer in &pull.layers {
                let to_fetch = !layer.state.is_idle() && !layer.blob_cached;
                if to_fetch && seen.insert((pull.id.namespace(), &layer.digest)) {
                    totals.to_download += layer.size;
                    totals.downloaded += layer.motion.downloaded;
                }
            }
        }
        totals
    }
}

/// An ended pull, as counted by metrics.
///
/// An end counts when this server sees a pull end, or first receives a pull that has ended. Pulls
/// that ended before this server started do not count: if anything counted them, it was the
/// previous server. An `unknown` end that is later replaced by a known outcome counts as both,
/// since counters cannot decrease.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct EndedPull {
    /// The pull.
    pub id: PullId,
    /// Start time, by the node's clock.
    pub started_at: NodeTime,
    /// Time in the kubelet's queue; `None` if unknown.
    pub queued: Option<Duration>,
    /// The registry's host without port; `None` if unknown.
    pub registry: Option<Arc<str>>,
    /// The outcome.
    pub outcome: Outcome,
    /// The failure reason, if it failed.
    pub reason: Option<FailureReason>,
    /// Time from start to end.
    pub duration: Duration,
    /// Time until the manifest was available; `None` if not observed.
    pub resolving: Option<Duration>,
    /// Time from the manifest until all bytes were downloaded or the pull ended; `None` if not
    /// observed.
    pub downloading: Option<Duration>,
    /// Time from the end of the download to the end; `None` if the download did not finish.
    pub extracting: Option<Duration>,
    /// Compressed size of the image; `None` if the manifest was not observed.
    pub size: Option<Bytes>,
    /// Bytes downloaded.
    pub downloaded: Bytes,
    /// Bytes already on the node.
    pub cached: Bytes,
    /// Bytes that had to be downloaded again.
    pub wasted: Bytes,
    /// Layers downloaded completely.
    pub layers_fetched: u64,
    /// Layers already on the node, or served remotely.
    pub layers_reused: u64,
    /// Average download rate; `None` if no bytes were downloaded or no time passed.
    pub throughput: Option<BytesPerSecond>,
}

/// Bytes downloaded over the network, as counted by metrics. A layer shared by several pulls of a
/// node counts once; layers already on the node do not count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DownloadedBytes {
    /// The registry's host without port; `None` if unknown.
    pub registry: Option<Arc<str>>,
    /// Number of bytes.
    pub bytes: Bytes,
    /// Layers whose download was restarted, so that earlier bytes were lost.
    pub restarts: u64,
}
