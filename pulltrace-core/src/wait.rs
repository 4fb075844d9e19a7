//! Waiting: one concept, with what is waited for. Waiting is never a stall.

use std::fmt;
use std::time::Duration;

use crate::id::{Digest, PullId};
use crate::time::NodeTime;

/// What something waits for, and since when.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WaitingOn {
    /// What kind of thing is waited for.
    pub kind: WaitingKind,
    /// Since when that is seen.
    pub since: NodeTime,
    /// The pull that must get on first, where one must.
    pub pull: Option<PullId>,
    /// The layer that must get on first, where one must.
    pub layer: Option<Digest>,
    /// How many pulls come before it, where it stands in a queue.
    pub ahead: Option<u32>,
    /// How much longer what it waits for takes, where that is known.
    pub left: Option<Duration>,
}

impl WaitingOn {
    /// Waiting for what is not a pull or a layer.
    #[must_use]
    pub const fn new(kind: WaitingKind, since: NodeTime) -> Self {
        Self {
            kind,
            since,
            pull: None,
            layer: None,
            ahead: None,
            left: None,
        }
    }
}

/// What there is to wait for. The words are the wire's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum WaitingKind {
    /// The runtime fetches as many blobs at once as it may on this node.
    DownloadSlot,
    /// Another pull fetches or unpacks a layer that this one needs too.
    SharedLayer,
    /// A lower layer of the same image must be unpacked first.
    ParentLayer,
    /// The registry has not said yet what the image is made of.
    Registry,
    /// The kubelet pulls one image at a time, or so many, and others came first.
    KubeletQueue,
}

impl WaitingKind {
    /// The word: `shared_layer`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DownloadSlot => "download_slot",
            Self::SharedLayer => "shared_layer",
            Self::ParentLayer => "parent_layer",
            Self::Registry => "registry",
            Self::KubeletQueue => "kubelet_queue",
        }
    }
}

impl fmt::Display for WaitingKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What is waited for now, keeping the time since when where it is the same as before.
pub(crate) fn renewed(
    before: Option<&WaitingOn>,
    now: Option<(WaitingKind, Option<PullId>, Option<Digest>)>,
    at: NodeTime,
) -> Option<WaitingOn> {
    let (kind, pull, layer) = now?;
    let since = before
        .filter(|b| b.kind == kind && b.pull == pull)
        .map_or(at, |b| b.since);
    Some(WaitingOn {
        pull,
        layer,
        ..WaitingOn::new(kind, since)
    })
}
