//! The ended pulls that are kept: the newest ones, the older half without layers.

use std::collections::BTreeSet;

use pulltrace_core::{NodeTime, PullId};

/// The end time of a pull by the server's clock, and its id.
pub(super) type EndedKey = (NodeTime, PullId);

/// The ended pulls of all nodes, by age.
#[derive(Debug, Default)]
pub(super) struct History {
    /// Pulls with their layers.
    with_layers: BTreeSet<EndedKey>,
    /// Pulls whose layers were dropped.
    without_layers: BTreeSet<EndedKey>,
}

impl History {
    pub(super) fn insert(&mut self, end: EndedKey) {
        self.with_layers.insert(end);
    }

    pub(super) fn remove(&mut self, end: &EndedKey) {
        if !self.with_layers.remove(end) {
            self.without_layers.remove(end);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.with_layers.len() + self.without_layers.len()
    }

    /// Returns the oldest pull, if there are more than `most`.
    pub(super) fn over_limit(&self, most: usize) -> Option<&EndedKey> {
        if self.len() > most { self.oldest() } else { None }
    }

    /// Returns the oldest pull, if it ended before `at`.
    pub(super) fn ended_before(&self, at: NodeTime) -> Option<&EndedKey> {
        self.oldest().filter(|(since, _)| *since < at)
    }

    /// Returns the oldest pull with layers, if there are more than `most` of these. It counts as
    /// one without layers from then on.
    pub(super) fn drop_oldest_layers(&mut self, most: usize) -> Option<PullId> {
        if self.with_layers.len() <= most {
            return None;
        }
        let end = self.with_layers.pop_first()?;
        let id = end.1.clone();
        self.without_layers.insert(end);
        Some(id)
    }

    /// Returns the oldest pull. If one was reported late, a pull with layers may be older than one
    /// without.
    fn oldest(&self) -> Option<&EndedKey> {
        match (self.with_layers.first(), self.without_layers.first()) {
            (Some(whole), Some(bare)) => Some(whole.min(bare)),
            (whole, bare) => whole.or(bare),
        }
    }
}
