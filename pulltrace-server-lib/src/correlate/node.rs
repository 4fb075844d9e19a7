//! One node: its pulls, the images its pods need, and the results of the last evaluation.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use pulltrace_core::{
    ChangeKind, Digest, Failure, Links, Mono, NodeName, NodeTime, Outcome, Phase, PodUid, Pull,
    PullId,
};

use super::announced::AnnouncedRows;
use super::attribution::{self, Candidate, PullMode};
use super::demand::{DemandKey, DemandState, ImageDemand};
use super::queue::{self, QueueContext};
use super::tag_index::TagIndex;
use super::view::{self, READY_RETENTION};
use crate::change::{Correction, CorrelateStats, PodView, PullChange, shift};
use crate::clock::ServerNow;

/// Time after its end for which a pull is still evaluated. Then its links are final.
const SETTLE_AFTER: Duration = Duration::from_mins(3);

#[derive(Debug, Default)]
pub(super) struct Node {
    pub(super) pulls: BTreeMap<PullId, TrackedPull>,
    pub(super) demands: BTreeMap<DemandKey, ImageDemand>,
    /// Rows of images that the kubelet announced and that no pull serves.
    pub(super) announced: AnnouncedRows,
    /// The pods shown to readers.
    pub(super) pods: BTreeMap<PodUid, PodView>,
    pub(super) correction: Correction,
    /// Offset of the server's clock from the node's in milliseconds; positive if the server is
    /// ahead.
    pub(super) clock_offset_ms: i64,
    /// Set while an agent reports for this node.
    pub(super) has_agent: bool,
    pull_mode: PullMode,
    /// This node's last share of the totals: demands, waiting pods, queued rows.
    counted: [u64; 3],
}

/// A pull that an agent reported, with the result of its last evaluation.
#[derive(Debug)]
pub(super) struct TrackedPull {
    /// The pull as the fleet reports it.
    pub(super) reported: Arc<Pull>,
    /// The pull as shown, with the failure reason from Kubernetes.
    pub(super) shown: Arc<Pull>,
    pub(super) links: Option<Arc<Links>>,
    /// When the report of its end was received.
    pub(super) end_received_at: Option<Mono>,
    /// The kubelet's attempt that this pull serves: the demand, and the attempt's `id_time`.
    served_attempt: Option<(DemandKey, NodeTime)>,
}

impl TrackedPull {
    pub(super) fn new(reported: Arc<Pull>) -> Self {
        Self {
            shown: Arc::clone(&reported),
            reported,
            links: None,
            end_received_at: None,
            served_attempt: None,
        }
    }

    fn is_settled(&self, now: Mono) -> bool {
        self.end_received_at.is_some_and(|ended| now.since(ended) >= SETTLE_AFTER)
    }
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

/// The changes found by an evaluation.
#[derive(Debug, Default)]
pub(super) struct Evaluation {
    /// Reported pulls whose shown state or links changed.
    pub(super) pulls: BTreeSet<PullId>,
    /// Announced rows that are new or changed.
    pub(super) rows: BTreeMap<PullId, ChangeKind>,
    /// Announced rows that were removed.
    pub(super) removed_rows: Vec<PullId>,
    /// Pods that are new or changed.
    pub(super) pods: Vec<PodView>,
    /// Pods that are no longer shown.
    pub(super) removed_pods: Vec<PodView>,
    /// Number of pulls newly found to agree with the kubelet's duration.
    pub(super) agrees: u64,
    /// Number of pulls newly found to disagree with the kubelet's duration.
    pub(super) disagrees: u64,
}

impl Node {
    /// Recomputes the links between pods and pulls, the announced rows and the shown pods.
    pub(super) fn evaluate(
        &mut self,
        name: &NodeName,
        context: EvaluationContext<'_>,
    ) -> Evaluation {
        let EvaluationContext { tag_index, now, ttl, pods_complete } = context;
        let mut evaluation = Evaluation::default();
        let node_now = shift(now.at, self.clock_offset_ms.saturating_neg());
        let mut candidates: Vec<Candidate<'_>> = self
            .demands
            .iter()
            .map(|(key, demand)| Candidate::new(key, demand, now.mono))
            .collect();
        for (id, known) in self.pulls.iter().filter(|(_, k)| k.is_settled(now.mono)) {
            let Some((key, at)) = &known.served_attempt else {
                continue;
            };
            if let Some(candidate) = candidates.iter_mut().find(|one| one.key == key) {
                candidate.restore_served(*at, id, known.reported.ended_at);
            }
        }
        for candidate in candidates.iter_mut().filter(|one| one.demand.has_no_events()) {
            let waiter = candidate.waiter();
            let linked = self.pulls.iter().filter(|(_, known)| {
                let pods = known.links.iter().flat_map(|links| &links.pods);
                pods.map(|(other, _)| other).any(|other| *other == waiter)
            });
            candidate.previous_links = linked.map(|(id, _)| id.clone()).collect();
        }
        let unsettled = self.pulls.values().filter(|k| !k.is_settled(now.mono));
        let mut pulls: Vec<&Arc<Pull>> = unsettled.map(|known| &known.reported).collect();
        pulls.sort_by(|a, b| (a.started_at, &a.id).cmp(&(b.started_at, &b.id)));
        let attribution =
            attribution::attribute(&pulls, &mut candidates, tag_index, self.pull_mode);
        self.pull_mode = attribution::detect_mode(&pulls, &attribution, self.pull_mode, node_now);
        let queue_context = QueueContext {
            mode: self.pull_mode,
            has_agent: self.has_agent,
            pods_complete,
            now,
            ttl,
        };
        let recently_ended = |id: &PullId| {
            let ended = self.pulls.get(id).and_then(|known| known.end_received_at);
            ended.is_some_and(|ended| now.mono.since(ended) < queue::ANNOUNCEMENT_GRACE)
        };
        let rows = queue::announced_rows(
            name,
            &pulls,
            &candidates,
            &attribution,
            queue_context,
            recently_ended,
        );
        let links = attribution.links.values().chain(rows.values().map(|(_, links)| links));
        let superseded: BTreeSet<PullId> = links.filter_map(|l| l.supersedes.clone()).collect();
        let mut missing_rows = Vec::new();
        for (id, (pull, _)) in self.announced.iter().filter(|(id, _)| !rows.contains_key(*id)) {
            let ended = queue::ended_row(pull, &candidates, node_now);
            let replaced = superseded.contains(id) || queue::was_renamed(id, &candidates);
            missing_rows.push((id.clone(), ended.filter(|_| !replaced)));
        }

        let mut results = Vec::new();
        for pull in pulls {
            let links = attribution.links.get(&pull.id).filter(|links| !links.is_empty());
            let served = attribution.served.get(&pull.id);
            let serves = served.and_then(|one| Some((one.key.clone(), one.attempt.id_time()?)));
            let attempt_failure = served.and_then(|one| one.attempt.failure());
            let failure = attempt_failure.map(|(_, failure)| failure.clone()).or_else(|| {
                let linked = candidates
                    .iter()
                    .filter(|candidate| candidate.previous_links.contains(&pull.id));
                linked.filter_map(Candidate::failure).next()
            });
            let shown = failure.and_then(|failure| with_kubelet_failure(pull, failure));
            let shown = shown.map_or_else(|| Arc::clone(pull), Arc::new);
            results.push((pull.id.clone(), links.cloned(), serves, shown));
        }
        let links =
            results.iter().filter_map(|(_, links, _, shown)| Some((&**shown, links.as_ref()?)));
        let announced = rows.values().map(|(pull, links)| (pull, links));
        let pods = view::pod_views(name, &candidates, links.chain(announced), tag_index, now.mono);
        drop(candidates);

        for (id, links, serves, shown) in results {
            let Some(known) = self.pulls.get_mut(&id) else {
                continue;
            };
            let same = known.links.as_deref() == links.as_ref();
            let agrees = |links: &Links| links.kubelet.and_then(|times| times.agrees);
            let verdict = links.as_ref().and_then(agrees);
            // Count each pull once, when the kubelet first reports a duration.
            if known.links.as_deref().and_then(agrees).is_none() {
                evaluation.agrees += u64::from(verdict == Some(true));
                evaluation.disagrees += u64::from(verdict == Some(false));
            }
            known.served_attempt = serves;
            if !same || *known.shown != *shown {
                known.links = if same { known.links.take() } else { links.map(Arc::new) };
                evaluation.pulls.insert(id);
            }
            known.shown = shown;
        }
        self.announced.update(
            rows,
            missing_rows,
            (now.mono, ttl),
            (&mut evaluation.rows, &mut evaluation.removed_rows),
        );
        self.replace_pods(pods, &mut evaluation);
        evaluation
    }

    /// Applies a change that the fleet made to a pull.
    pub(super) fn apply_pull(&mut self, change: &PullChange, now: Mono) {
        let pull = &change.pull;
        let known =
            self.pulls.entry(pull.id.clone()).or_insert_with(|| TrackedPull::new(Arc::clone(pull)));
        known.reported = Arc::clone(pull);
        match pull.outcome() {
            Some(_) => known.end_received_at = known.end_received_at.or(Some(now)),
            None => (known.end_received_at, known.shown) = (None, Arc::clone(pull)),
        }
        if known.is_settled(now) {
            // Later changes only drop layers or repeat it: keep the evaluated phase and failure.
            let mut shown = (**pull).clone();
            shown.phase = known.shown.phase;
            shown.failure.clone_from(&known.shown.failure);
            known.shown = Arc::new(shown);
        }
    }

    /// Returns a pull or an announced row as shown.
    pub(super) fn shown_pull(&self, id: &PullId) -> Option<(Arc<Pull>, Option<Arc<Links>>)> {
        if let Some(known) = self.pulls.get(id) {
            return Some((Arc::clone(&known.shown), known.links.clone()));
        }
        let (pull, links) = self.announced.get(id)?;
        Some((Arc::clone(pull), Some(Arc::clone(links))))
    }

    /// Reports whether a pull with this root digest is running.
    pub(super) fn is_pulling(&self, root: &Digest) -> bool {
        let live = self.pulls.values().filter(|known| known.end_received_at.is_none());
        live.filter_map(|known| known.reported.root.as_ref()).any(|other| other == root)
    }

    /// Returns the demands of a pod.
    pub(super) fn demands_of_pod(
        &self,
        uid: &PodUid,
    ) -> impl Iterator<Item = (&DemandKey, &ImageDemand)> {
        self.demands.iter().filter(move |(key, _)| key.uid == *uid)
    }

    pub(super) fn demands_of_pod_mut(
        &mut self,
        uid: &PodUid,
    ) -> impl Iterator<Item = (&DemandKey, &mut ImageDemand)> {
        self.demands.iter_mut().filter(move |(key, _)| key.uid == *uid)
    }

    fn replace_pods(&mut self, pods: BTreeMap<PodUid, PodView>, evaluation: &mut Evaluation) {
        let mut before = std::mem::take(&mut self.pods);
        for (uid, view) in &pods {
            if before.remove(uid).as_ref() != Some(view) {
                evaluation.pods.push(view.clone());
            }
        }
        evaluation.removed_pods.extend(before.into_values());
        self.pods = pods;
    }

    /// Updates this node's share of the totals.
    pub(super) fn update_stats(&mut self, stats: &mut CorrelateStats) {
        let pods = self.pods.values().filter(|view| view.is_waiting_for_pull());
        let queued = self.announced.values().filter(|(pull, _)| pull.phase == Phase::Queued);
        let now = [self.demands.len(), pods.count(), queued.count()].map(|count| count as u64);
        let sums = [&mut stats.demands, &mut stats.pods_waiting, &mut stats.queued];
        for ((sum, before), now) in sums.into_iter().zip(self.counted).zip(now) {
            *sum = (*sum + now).saturating_sub(before);
        }
        self.counted = now;
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
        let unsettled = self.pulls.values().filter(|known| !known.is_settled(now));
        let links = unsettled.filter_map(|known| known.links.as_deref());
        let waiters = links.flat_map(|links| &links.pods).map(|(waiter, _)| DemandKey {
            uid: waiter.pod.uid.clone(),
            consumer: waiter.consumer.clone(),
            image: waiter.image.clone(),
        });
        let needed: BTreeSet<DemandKey> = waiters.collect();
        self.demands.retain(|key, demand| {
            let unchanged_for = now.since(demand.updated_at);
            let attempts = demand.attempts();
            let waits = demand.pod_removed_at.is_none() && demand.declared.is_some();
            let stays = match demand.state(&attempts, now, attribution::STATUS_LAG) {
                DemandState::Pending => waits || unchanged_for < READY_RETENTION,
                DemandState::Present if demand.has_no_events() => unchanged_for < READY_RETENTION,
                DemandState::Present => unchanged_for < ttl,
                DemandState::InProgress(_) | DemandState::Failed(_) => waits || unchanged_for < ttl,
            };
            stays || needed.contains(key)
        });
        self.demands.len() != before || self.announced.has_expired(now, ttl)
    }

    pub(super) fn is_empty(&self) -> bool {
        !self.has_agent
            && self.pulls.is_empty()
            && self.demands.is_empty()
            && self.announced.is_empty()
    }
}

/// Returns a failed pull with its failure refined by the kubelet's, or `None` if nothing changes.
fn with_kubelet_failure(pull: &Pull, kubelet_failure: Failure) -> Option<Pull> {
    if pull.phase != Phase::Ended(Outcome::Failed) {
        return None;
    }
    let before = pull.failure.clone();
    let after = match before.clone() {
        Some(before) => before.refine(kubelet_failure),
        None => kubelet_failure,
    };
    if Some(&after) == before.as_ref() {
        return None;
    }
    let mut pull = pull.clone();
    pull.failure = Some(after);
    Some(pull)
}
