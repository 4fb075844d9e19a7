//! Which ended pulls are kept: the youngest, and of the older half only the row.

use std::collections::BTreeSet;

use pulltrace_core::{NodeTime, PullId};

/// When a pull ended by the server's clock, and which one.
pub(super) type End = (NodeTime, PullId);

/// The ended pulls of all nodes, by age.
#[derive(Debug, Default)]
pub(super) struct History {
    /// Those that have their layers.
    whole: BTreeSet<End>,
    /// Those that lost them.
    bare: BTreeSet<End>,
}

impl History {
    pub(super) fn insert(&mut self, end: End) {
        self.whole.insert(end);
    }

    pub(super) fn remove(&mut self, end: &End) {
        if !self.whole.remove(end) {
            self.bare.remove(end);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.whole.len() + self.bare.len()
    }

    /// The oldest, where there are more than `most`.
    pub(super) fn over(&self, most: usize) -> Option<&End> {
        if self.len() > most {
            self.oldest()
        } else {
            None
        }
    }

    /// The oldest, where it ended before `at`.
    pub(super) fn before(&self, at: NodeTime) -> Option<&End> {
        self.oldest().filter(|(since, _)| *since < at)
    }

    /// The oldest that has its layers, where more than `most` have: from here on it is counted among
    /// those without.
    pub(super) fn strip(&mut self, most: usize) -> Option<PullId> {
        if self.whole.len() <= most {
            return None;
        }
        let end = self.whole.pop_first()?;
        let id = end.1.clone();
        self.bare.insert(end);
        Some(id)
    }

    /// Where a pull came late, one with its layers may be older than one without.
    fn oldest(&self) -> Option<&End> {
        match (self.whole.first(), self.bare.first()) {
            (Some(whole), Some(bare)) => Some(whole.min(bare)),
            (whole, bare) => whole.or(bare),
        }
    }
}
