//! Everything that a view may show, as it was last told.

use std::sync::Arc;

use pulltrace_core::{NodeSums, NodeTime, Pull, PullId};

use super::known::{Known, KnownPulls};
use super::words::Pulls;
use crate::source::{Sight, Teller};

/// Ended pulls that are kept for showing; the oldest go first.
const MAX_ENDED: usize = 1_000;

/// Pulls, live and ended, and what is known around them.
#[derive(Clone, Debug)]
pub(crate) struct Scene {
    pub(crate) teller: Teller,
    /// The runtime and its version, where that is known.
    pub(crate) runtime: Option<String>,
    pub(crate) pulls: Pulls,
    /// What Kubernetes adds to them.
    pub(crate) known: KnownPulls,
    pub(crate) sums: NodeSums,
    /// Whether the source sees anything.
    pub(crate) sight: Sight,
    /// When that was so.
    pub(crate) now: NodeTime,
}

impl Scene {
    /// Nothing was told yet.
    pub(crate) fn new(teller: Teller, now: NodeTime) -> Self {
        Self {
            teller,
            runtime: None,
            pulls: Pulls::new(),
            known: KnownPulls::new(),
            sums: NodeSums::default(),
            sight: Sight::default(),
            now,
        }
    }

    /// Takes what changed; where `full`, that is everything there is.
    pub(crate) fn take(
        &mut self,
        changed: &[Arc<Pull>],
        full: bool,
        sums: NodeSums,
        now: NodeTime,
    ) {
        if full {
            self.pulls.clear();
        }
        for pull in changed {
            self.pulls.insert(pull.id.clone(), Arc::clone(pull));
        }
        (self.sums, self.now) = (sums, now);
        let mut ended: Vec<_> = self
            .pulls
            .values()
            .filter_map(|pull| Some((pull.ended_at?, pull.id.clone())))
            .collect();
        if ended.len() > MAX_ENDED {
            ended.sort();
            for (_, id) in ended.iter().take(ended.len() - MAX_ENDED) {
                self.remove(id);
            }
        }
    }

    /// Takes what Kubernetes adds to a pull.
    pub(crate) fn know(&mut self, id: &PullId, known: Option<Known>) {
        match known {
            Some(known) => self.known.insert(id.clone(), known),
            None => self.known.remove(id),
        };
    }

    /// Forgets a pull.
    pub(crate) fn remove(&mut self, id: &PullId) {
        self.pulls.remove(id);
        self.known.remove(id);
    }

    /// The pulls that go on, by node, the oldest first: none moves while others come and go.
    pub(crate) fn live(&self) -> Vec<&Pull> {
        let mut live: Vec<_> = self
            .pulls
            .values()
            .filter(|pull| pull.outcome().is_none())
            .map(Arc::as_ref)
            .collect();
        live.sort_by(|a, b| (a.id.node(), a.started_at).cmp(&(b.id.node(), b.started_at)));
        live
    }

    /// The pulls that are over, the latest first.
    pub(crate) fn ended(&self) -> Vec<&Pull> {
        let mut ended: Vec<_> = self
            .pulls
            .values()
            .filter(|pull| pull.outcome().is_some())
            .map(Arc::as_ref)
            .collect();
        ended.sort_by_key(|pull| std::cmp::Reverse(pull.ended_at));
        ended
    }
}
