//! What changed, as data: from fleet and correlator, for the table that readers read, and for metrics.

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

/// What one step changed.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Changes {
    /// Pulls that are new or changed, in order: a pull may be there twice, and its last state stands.
    pub pulls: Vec<PullChange>,
    /// Pulls that are kept no more. They are to be taken after `pulls`.
    pub forgotten: Vec<PullId>,
    /// Nodes that are new or changed.
    pub nodes: Vec<NodeView>,
    /// Nodes that are kept no more.
    pub forgotten_nodes: Vec<NodeName>,
    /// Pods that wait for images and are new or changed.
    pub pods: Vec<PodView>,
    /// Pods that are shown no more.
    pub forgotten_pods: Vec<PodView>,
    /// Pulls whose end counts, once each.
    pub ended: Vec<Ended>,
    /// Bytes that came over the network.
    pub downloaded: Vec<Downloaded>,
}

impl Changes {
    /// Whether nothing changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pulls.is_empty()
            && self.forgotten.is_empty()
            && self.nodes.is_empty()
            && self.forgotten_nodes.is_empty()
            && self.pods.is_empty()
            && self.forgotten_pods.is_empty()
            && self.ended.is_empty()
            && self.downloaded.is_empty()
    }
}

/// A pull that is new or changed.
#[derive(Clone, Debug)]
pub struct PullChange {
    /// What happened.
    pub kind: ChangeKind,
    /// The pull as it is now.
    pub pull: Arc<Pull>,
    /// From its node's clock to the server's.
    pub correction: Correction,
    /// How much of it changed.
    pub scope: Scope,
    /// What Kubernetes knows of it; `None` where that is nothing.
    pub links: Option<Arc<Links>>,
}

impl PullChange {
    /// All of a pull, on a node whose clock is the server's, of which Kubernetes knows nothing.
    #[must_use]
    pub const fn new(kind: ChangeKind, pull: Arc<Pull>) -> Self {
        Self {
            kind,
            pull,
            correction: Correction::NONE,
            scope: Scope::Whole,
            links: None,
        }
    }
}

/// How much of a pull changed; each is more than the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Only what [`PullMotion`](pulltrace_core::wire::v1::PullMotion) has.
    Motion,
    /// Its layers, beyond what moves of them: to who does not read layers no more than the motion, which
    /// says how many are done.
    Layers,
    /// Anything.
    Whole,
}

/// A node as it is now.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct NodeView {
    /// Its name.
    pub name: NodeName,
    /// Whether its agent is heard.
    pub state: NodeState,
    /// When its agent was last heard, by the server's clock.
    pub last_report_at: NodeTime,
    /// The version of its agent; `None` where it does not tell.
    pub agent_version: Option<Arc<str>>,
    /// Which runtime pulls.
    pub runtime_version: Option<Arc<str>>,
    /// How far the server's clock is ahead of the node's, in milliseconds.
    pub clock_offset_ms: Option<i64>,
    /// What its live pulls come to.
    pub live: LiveSums,
    /// How many of its pulls ended and are still known.
    pub ended: usize,
}

impl NodeView {
    /// What people read of it.
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

/// What the live pulls of a node come to. A layer that several share counts once.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct LiveSums {
    /// How many there are.
    pub pulls: u64,
    /// Bytes to download, of those whose sizes are known.
    pub to_download: Bytes,
    /// What of them is here.
    pub downloaded: Bytes,
    /// How fast bytes come, in bytes per second; `None` where that is known of none.
    pub rate: Option<f64>,
}

impl LiveSums {
    /// The sums over these.
    pub(crate) fn of<'a>(pulls: impl Iterator<Item = &'a Arc<Pull>>) -> Self {
        let mut seen: HashSet<(&Namespace, &Digest)> = HashSet::new();
        let mut sums = Self::default();
        for pull in pulls {
            sums.pulls += 1;
            if let Some(speed) = pull.rate {
                *sums.rate.get_or_insert(0.0) += speed.get();
            }
            // An agent of version 0.1 tells of a blob without its image.
            if let PullId::Ingest { digest, .. } = &pull.id
                && let Some(size) = pull.to_download
                && seen.insert((pull.id.namespace(), digest))
            {
                sums.to_download += size;
                sums.downloaded += pull.downloaded;
            }
            for layer in &pull.layers {
                let to_fetch = !layer.state.is_idle() && !layer.blob_cached;
                if to_fetch && seen.insert((pull.id.namespace(), &layer.digest)) {
                    sums.to_download += layer.size;
                    sums.downloaded += layer.downloaded;
                }
            }
        }
        sums
    }
}

/// A pull that ended, as metrics count it.
///
/// An end counts when this server sees a pull end, and when it first hears of one that is over
/// already. What ended before this server started does not count: the one before it did that, or
/// nobody. An end as `unknown` that later gives way to evidence counts as both, since a count cannot
/// be taken back.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Ended {
    /// Which.
    pub id: PullId,
    /// When it began, by its node's clock.
    pub started_at: NodeTime,
    /// How long it was in its kubelet's queue; `None` where that is not known.
    pub queued: Option<Duration>,
    /// The registry's host, without a port; `None` where it is not known.
    pub registry: Option<Arc<str>>,
    /// How it ended.
    pub outcome: Outcome,
    /// Why it failed, where it did.
    pub reason: Option<FailureReason>,
    /// From its start to its end.
    pub duration: Duration,
    /// Until the manifest was here; `None` where that was not seen.
    pub resolving: Option<Duration>,
    /// From there until all bytes were here; `None` where that was not seen.
    pub downloading: Option<Duration>,
    /// From there until the end; `None` where the pull did not come so far.
    pub extracting: Option<Duration>,
    /// What the image weighs, compressed; `None` where the manifest was not seen.
    pub size: Option<Bytes>,
    /// Bytes that were fetched.
    pub downloaded: Bytes,
    /// Bytes that were on the node before.
    pub cached: Bytes,
    /// Bytes that came and had to be fetched again.
    pub wasted: Bytes,
    /// Layers that were fetched whole.
    pub layers_fetched: u64,
    /// Layers that were on the node before, or are served remotely.
    pub layers_reused: u64,
    /// Bytes per second over the download; `None` where nothing was fetched or no time passed.
    pub throughput: Option<BytesPerSecond>,
}

/// Bytes that came over the network, as metrics count them. A layer that several pulls of a node
/// share counts once, and what was on the node before never does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Downloaded {
    /// The registry's host, without a port; `None` where it is not known.
    pub registry: Option<Arc<str>>,
    /// How many.
    pub bytes: Bytes,
    /// Layers that began anew: what was there of them came to nothing.
    pub restarts: u64,
}
