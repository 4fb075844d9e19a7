//! Waits of pulls and layers. A waiting pull is never stalled.

use std::time::Duration;

use crate::id::{Digest, PullId};
use crate::time::NodeTime;

/// A wait: its cause and start.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WaitingOn {
    /// The kind of wait.
    pub kind: WaitingKind,
    /// When the wait was first observed.
    pub since: NodeTime,
    /// The pull that must make progress first, if any.
    pub pull: Option<PullId>,
    /// The layer that must make progress first, if any.
    pub layer: Option<Digest>,
    /// The number of pulls ahead in the queue, if queued.
    pub ahead: Option<u32>,
    /// The estimated remaining wait, if known.
    pub left: Option<Duration>,
}

impl WaitingOn {
    /// Creates a wait that depends on no other pull or layer.
    #[must_use]
    pub const fn new(kind: WaitingKind, since: NodeTime) -> Self {
        Self { kind, since, pull: None, layer: None, ahead: None, left: None }
    }
}

words! {
    /// The kind of a wait.
    #[non_exhaustive]
    pub enum WaitingKind {
        /// The runtime already fetches as many blobs as it may on this node.
        DownloadSlot = "download_slot",
        /// Another pull fetches or unpacks a layer that this one needs too.
        SharedLayer = "shared_layer",
        /// A lower layer of the same image must be unpacked first.
        ParentLayer = "parent_layer",
        /// The registry has not returned the manifest yet.
        Registry = "registry",
        /// The kubelet limits concurrent image pulls, and others are ahead in its queue.
        KubeletQueue = "kubelet_queue",
    }
}

/// The cause of a wait.
pub(crate) struct WaitCause {
    kind: WaitingKind,
    pull: Option<PullId>,
    layer: Option<Digest>,
}

impl WaitCause {
    /// Creates a cause without a pull or layer to wait for.
    pub(crate) const fn new(kind: WaitingKind) -> Self {
        Self { kind, pull: None, layer: None }
    }

    pub(crate) const fn parent_layer(layer: Digest) -> Self {
        Self { kind: WaitingKind::ParentLayer, pull: None, layer: Some(layer) }
    }

    pub(crate) const fn shared_layer(by: PullId, layer: Digest) -> Self {
        Self { kind: WaitingKind::SharedLayer, pull: Some(by), layer: Some(layer) }
    }
}

/// Returns the current wait. `since` is kept while the kind and the other pull stay the same.
pub(crate) fn update_waiting(
    before: Option<&WaitingOn>,
    cause: Option<WaitCause>,
    at: NodeTime,
) -> Option<WaitingOn> {
    let WaitCause { kind, pull, layer } = cause?;
    let since = before.filter(|b| b.kind == kind && b.pull == pull).map_or(at, |b| b.since);
    Some(WaitingOn { pull, layer, ..WaitingOn::new(kind, since) })
}
