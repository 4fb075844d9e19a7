//! The state shown by a view.

use std::sync::Arc;

use pulltrace_core::{NodeTime, NodeTotals, Pull, PullId};

use super::format::Pulls;
use super::pod_context::{PodContext, PodContexts};
use crate::source::{Origin, SourceStatus};

/// Number of ended pulls kept; the oldest are removed first.
const MAX_ENDED: usize = 1_000;

/// Live and ended pulls, with their source.
#[derive(Clone, Debug)]
pub(crate) struct Scene {
    pub(crate) origin: Origin,
    /// The runtime and its version, if known.
    pub(crate) runtime: Option<String>,
    pub(crate) pulls: Pulls,
    /// Kubernetes details of the pulls.
    pub(crate) pod_contexts: PodContexts,
    pub(crate) sums: NodeTotals,
    /// Connection state of the source.
    pub(crate) status: SourceStatus,
    /// The time that elapsed times are computed for.
    pub(crate) now: NodeTime,
}

impl Scene {
    /// Creates an empty scene.
    pub(crate) fn new(origin: Origin, now: NodeTime) -> Self {
        Self {
            origin,
            runtime: None,
            pulls: Pulls::new(),
            pod_contexts: PodContexts::new(),
            sums: NodeTotals::default(),
            status: SourceStatus::default(),
            now,
        }
    }

    /// Applies changed pulls; with `full`, they replace all others.
    pub(crate) fn update(
        &mut self,
        changed: &[Arc<Pull>],
        full: bool,
        sums: NodeTotals,
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

    /// Sets or removes the Kubernetes details of a pull.
    pub(crate) fn set_pod_context(&mut self, id: &PullId, context: Option<PodContext>) {
        match context {
            Some(known) => self.pod_contexts.insert(id.clone(), known),
            None => self.pod_contexts.remove(id),
        };
    }

    /// Removes a pull.
    pub(crate) fn remove(&mut self, id: &PullId) {
        self.pulls.remove(id);
        self.pod_contexts.remove(id);
    }

    /// Returns the live pulls by node, oldest first, so that rows keep their order.
    pub(crate) fn live(&self) -> Vec<&Pull> {
        let mut live: Vec<_> =
            self.pulls.values().filter(|pull| pull.outcome().is_none()).map(Arc::as_ref).collect();
        live.sort_by(|a, b| (a.id.node(), a.started_at).cmp(&(b.id.node(), b.started_at)));
        live
    }

    /// Returns the ended pulls, latest first.
    pub(crate) fn ended(&self) -> Vec<&Pull> {
        let mut ended: Vec<_> =
            self.pulls.values().filter(|pull| pull.outcome().is_some()).map(Arc::as_ref).collect();
        ended.sort_by_key(|pull| std::cmp::Reverse(pull.ended_at));
        ended
    }
}
