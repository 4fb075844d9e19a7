//! State shared by all nodes, and one step that changes it.

use std::sync::Arc;

use pulltrace_core::{ChangeKind, NodeTime, Pull};

use super::history::History;
use crate::change::{Changes, Correction, DownloadedBytes, PullChange, Stats};
use crate::clock::ServerNow;
use crate::limits::Limits;

/// State shared by all nodes.
#[derive(Debug)]
pub(super) struct FleetState {
    pub(super) limits: Limits,
    /// When this server started.
    pub(super) started: NodeTime,
    pub(super) history: History,
    /// Pulls that ended before this were evicted to stay within the limit.
    pub(super) eviction_floor: Option<NodeTime>,
    pub(super) stats: Stats,
}

/// One step of the fleet: its time, the shared state, and the changes so far.
#[derive(Debug)]
pub(super) struct FleetStep<'a> {
    pub(super) fleet: &'a mut FleetState,
    pub(super) changes: &'a mut Changes,
    pub(super) now: ServerNow,
}

impl FleetStep<'_> {
    /// Adds a change of a whole pull.
    pub(super) fn push_progress(&mut self, pull: Arc<Pull>, correction: Correction) {
        let change = PullChange::new(ChangeKind::Progressed, pull);
        self.changes.pulls.push(PullChange { correction, ..change });
    }

    /// Adds downloaded bytes to those of the same registry.
    pub(super) fn add_downloaded(&mut self, added: DownloadedBytes) {
        let mut downloaded = self.changes.downloaded.iter_mut();
        match downloaded.find(|known| known.registry == added.registry) {
            Some(known) => {
                known.bytes += added.bytes;
                known.restarts += added.restarts;
            }
            None => self.changes.downloaded.push(added),
        }
    }
}
