//! The facts about one node, and their evaluation in phases.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use pulltrace_core::{ChangeKind, Digest, Mono, NodeName, NodeTime, Phase, PodRef, PodUid, PullId};

use super::attribution::{self, AttributedPull, Attribution};
use super::delta::{AnnouncedRows, EvaluatedRows, NodeDelta, ShownPull, TrackedPull};
use super::demand::{
    self, Candidate, DemandKey, ImageDemand, PreviousResult, READY_RETENTION, ServingPull,
};
use super::outcome::{self, PullResult};
use super::pull_mode::{self, PullMode};
use super::queue::{self, QueueContext};
use super::tag_index::TagIndex;
use super::view::{self, LinkedPull, ViewContext};
use crate::change::{Changes, Correction, CorrelateStats, PodView, PullChange, shift};
use crate::clock::ServerNow;

#[derive(Debug, Default)]
pub(super) struct Node {
    pub(super) pulls: BTreeMap<PullId, TrackedPull>,
    demands: BTreeMap<DemandKey, ImageDemand>,
    /// Rows of images that the kubelet announced and that no pull serves.
    announced: AnnouncedRows,
    /// The pods shown to readers.
    pods: BTreeMap<PodUid, PodView>,
    pub(super) correction: Correction,
    /// Offset of the server's clock from the node's in milliseconds; positive if the server is
    /// ahead.
    pub(super) clock_offset_ms: i64,
    /// Set while an agent reports for this node.
    pub(super) has_agent: bool,
    pull_mode: PullMode,
    /// This node's last share of the totals.
    counted: NodeCounts,
}

/// A node's share of the totals of [`CorrelateStats`].
#[derive(Clone, Copy, Debug, Default)]
struct NodeCounts {
    demands: u64,
    pods_waiting: u64,
    queued: u64,
}

/// Input of an evaluation, besides the node.
#[derive(Clone, Copy, Debug)]
pub(super) struct EvaluationContext<'a> {
    pub(super) tag_index: &'a TagIndex,
    pub(super) now: ServerNow,
    /// The retention period of rows and demands that are no longer updated.
    pub(super) ttl: Duration,
    /// Set if all existing pods are known.
    pub(super) pods_complete: bool,
}

/// The results of all phases but the last.
#[derive(Debug)]
struct Results {
    pull_mode: PullMode,
    pulls: Vec<PullResult>,
    rows: EvaluatedRows,
    pods: BTreeMap<PodUid, PodView>,
}

impl Node {
    /// Recomputes the links between pods and pulls, the announced rows and the shown pods.
    pub(super) fn evaluate(
        &mut self,
        name: &NodeName,
        context: EvaluationContext<'_>,
    ) -> NodeDelta {
        let results = self.correlate(name, context);
        let mut delta = NodeDelta::default();
        delta.update_pulls(&mut self.pulls, results.pulls);
        delta.update_rows(&mut self.announced, results.rows);
        delta.update_pods(&mut self.pods, results.pods);
        self.pull_mode = results.pull_mode;
        delta
    }

    /// Runs the phases before the delta on the current facts.
    fn correlate(&self, name: &NodeName, context: EvaluationContext<'_>) -> Results {
        let EvaluationContext { tag_index, now, ttl, pods_complete } = context;
        let node_now = self.local_time(now);
        // 1. Demands
        let candidates = self.candidates(now.mono);
        // 2. Attribution
        let unsettled = self.unsettled_pulls(now.mono);
        let attribution = attribution::attribute(unsettled, candidates, tag_index, self.pull_mode);
        let pull_mode = pull_mode::detect(&attribution.requested_pulls(), self.pull_mode, node_now);
        // 3. Queue
        let queue_context = QueueContext {
            node: name,
            mode: pull_mode,
            has_agent: self.has_agent,
            pods_complete,
            now: now.mono,
            ttl,
        };
        let rows = queue::announced_rows(&attribution, &queue_context);
        // 4. Outcomes
        let shown = self.announced.pulls();
        let missing = outcome::missing_rows(shown, &rows, &attribution, node_now);
        let Attribution { pulls: attributed, candidates } = attribution;
        let pulls = outcome::pull_results(attributed, &candidates);
        // 5. Views
        let linked_pulls = pulls.iter().filter_map(|result| {
            Some(LinkedPull { pull: &result.shown, links: result.links.as_ref()? })
        });
        let linked_rows =
            rows.values().map(|row| LinkedPull { pull: &row.pull, links: &row.links });
        let view_context = ViewContext { node: name, tag_index, now: now.mono };
        let pods = view::pod_views(&candidates, linked_pulls.chain(linked_rows), view_context);
        let rows = EvaluatedRows { rows, missing, now: now.mono, ttl };
        Results { pull_mode, pulls, rows, pods }
    }

    /// Returns the demands, with earlier results that still count.
    fn candidates(&self, now: Mono) -> Vec<Candidate<'_>> {
        let previous = self.pulls.iter().map(|(id, tracked)| PreviousResult {
            pull: ServingPull { id, ended_at: tracked.reported.ended_at },
            links: tracked.shown.links.as_deref(),
            settled_attempt: tracked.served_attempt.as_ref().filter(|_| tracked.is_settled(now)),
        });
        demand::candidates(&self.demands, previous, now)
    }

    /// Returns the pulls whose links are not final.
    fn unsettled_pulls(&self, now: Mono) -> Vec<AttributedPull<'_>> {
        let unsettled = self.pulls.values().filter(|tracked| !tracked.is_settled(now));
        unsettled
            .map(|tracked| AttributedPull::new(&tracked.reported, tracked.end_received_at))
            .collect()
    }

    /// Converts the server's time to the node's clock.
    pub(super) fn local_time(&self, now: ServerNow) -> NodeTime {
        shift(now.at, self.clock_offset_ms.saturating_neg())
    }

    /// Applies a change that the fleet made to a pull.
    pub(super) fn apply_pull(&mut self, change: &PullChange, now: Mono) {
        let pull = &change.pull;
        let new = || TrackedPull::new(Arc::clone(pull));
        self.pulls.entry(pull.id.clone()).or_insert_with(new).update(pull, now);
    }

    /// Returns a pull or an announced row as shown.
    pub(super) fn shown_pull(&self, id: &PullId) -> Option<&ShownPull> {
        let tracked = self.pulls.get(id).map(|tracked| &tracked.shown);
        tracked.or_else(|| self.announced.get(id))
    }

    /// Appends the result of an evaluation to the changes.
    pub(super) fn append_changes(&self, delta: NodeDelta, changes: &mut Changes) {
        let pulls = delta.pulls.into_iter().map(|id| (id, ChangeKind::Progressed));
        for (id, kind) in pulls.chain(delta.rows) {
            if let Some(shown) = self.shown_pull(&id) {
                changes.pulls.push(PullChange {
                    correction: self.correction,
                    links: shown.links.clone(),
                    ..PullChange::new(kind, Arc::clone(&shown.pull))
                });
            }
        }
        changes.removed_pulls.extend(delta.removed_rows);
        changes.pods.extend(delta.pods);
        changes.removed_pods.extend(delta.removed_pods);
    }

    /// Reports whether a pull with this root digest is running.
    pub(super) fn is_pulling(&self, root: &Digest) -> bool {
        let live = self.pulls.values().filter(|tracked| tracked.end_received_at.is_none());
        live.filter_map(|tracked| tracked.reported.root.as_ref()).any(|other| other == root)
    }

    /// Returns a demand. It is created if the node has fewer than `limit`.
    pub(super) fn demand(
        &mut self,
        key: DemandKey,
        pod: &PodRef,
        limit: usize,
        now: Mono,
    ) -> Option<&mut ImageDemand> {
        let is_full = self.demands.len() >= limit;
        match self.demands.entry(key) {
            Entry::Occupied(known) => Some(known.into_mut()),
            Entry::Vacant(_) if is_full => None,
            Entry::Vacant(vacant) => Some(vacant.insert(ImageDemand::new(pod.clone(), now))),
        }
    }

    /// Reports whether a pod has demands.
    pub(super) fn has_pod(&self, uid: &PodUid) -> bool {
        self.demands.keys().any(|key| key.uid == *uid)
    }

    /// Returns the demands of a pod.
    pub(super) fn demands_of_pod_mut(
        &mut self,
        uid: &PodUid,
    ) -> impl Iterator<Item = (&DemandKey, &mut ImageDemand)> {
        self.demands.iter_mut().filter(move |(key, _)| key.uid == *uid)
    }

    /// Updates this node's share of the totals.
    pub(super) fn update_stats(&mut self, stats: &mut CorrelateStats) {
        let pods = self.pods.values().filter(|view| view.is_waiting_for_pull());
        let queued = self.announced.pulls().filter(|pull| pull.phase == Phase::Queued);
        let counts = NodeCounts {
            demands: self.demands.len() as u64,
            pods_waiting: pods.count() as u64,
            queued: queued.count() as u64,
        };
        let before = std::mem::replace(&mut self.counted, counts);
        let replace = |total: &mut u64, old: u64, new: u64| {
            *total = (*total + new).saturating_sub(old);
        };
        replace(&mut stats.demands, before.demands, counts.demands);
        replace(&mut stats.pods_waiting, before.pods_waiting, counts.pods_waiting);
        replace(&mut stats.queued, before.queued, counts.queued);
    }

    /// Reports whether the results may change just because time passes.
    pub(super) fn is_time_dependent(&self, now: Mono) -> bool {
        let is_recent = |demand: &ImageDemand| {
            let last_update = demand.updated_at.max(demand.announcement_received_at);
            now.since(last_update) <= READY_RETENTION + queue::ANNOUNCEMENT_GRACE
        };
        self.announced.has_live() || self.demands.values().any(is_recent)
    }

    /// Removes stale demands without links to unsettled pulls. Returns whether to evaluate again.
    pub(super) fn clean_up(&mut self, now: Mono, ttl: Duration) -> bool {
        let before = self.demands.len();
        let unsettled = self.pulls.values().filter(|tracked| !tracked.is_settled(now));
        let links = unsettled.filter_map(|tracked| tracked.shown.links.as_deref());
        let waiters = links.flat_map(|links| &links.pods).map(|(waiter, _)| DemandKey {
            uid: waiter.pod.uid.clone(),
            consumer: waiter.consumer.clone(),
            image: waiter.image.clone(),
        });
        let needed: BTreeSet<DemandKey> = waiters.collect();
        self.demands.retain(|key, demand| !demand.is_stale(now, ttl) || needed.contains(key));
        self.demands.len() != before || self.announced.has_expired(now, ttl)
    }

    pub(super) fn is_empty(&self) -> bool {
        !self.has_agent
            && self.pulls.is_empty()
            && self.demands.is_empty()
            && self.announced.is_empty()
    }
}
