//! Correlates pods with the image pulls they wait for. Pure: results depend only on the arguments.
//!
//! The input is facts: the pulls that agents report, the images that pods declare, and kubelet
//! events. An update changes facts of a node (`updates`), then `node` evaluates the node in six
//! phases. Each one is a function of the results of those before it.
//!
//! | phase | question | file |
//! |---|---|---|
//! | 1. demands | which images do containers and volumes need, and how far are they? | `demand` |
//! | 2. attribution | which pods wait for which pull? | `attribution` |
//! | 3. queue | which announced images have no pull, because they wait in the kubelet's queue? | `queue` |
//! | 4. outcomes | how did each pull and announced row end, and why? | `outcome` |
//! | 5. views | which pods are shown, and how far are their images? | `view` |
//! | 6. delta | what changed since the last evaluation? | `delta` |
//!
//! The phases use these files:
//!
//! | file | question |
//! |---|---|
//! | `attempt` | which attempts did the kubelet report for one demand, and when does it retry? |
//! | `matching` | can this pull be of that image? |
//! | `tag_index` | under which names was a digest seen? |
//! | `pull_mode` | does this kubelet pull one image at a time? |
//! | `pending` | when is the end of a pull counted? |
//! | `status` | what is a pod's status on the wire? |
//!
//! Where a case is decided:
//!
//! | case | function |
//! |---|---|
//! | two pods need one image, and it is being pulled: both wait for that pull | `attribution::link_waiters` |
//! | … and the second one gets no row of its own | `queue::images_being_pulled` |
//! | two pods need one image, and it is queued: they share its row | `queue::QueuedImage::choose` |
//! | a queued image: its row, and the pulls ahead of it | `queue::QueuedImage::row` |
//! | two images match one pull | `attribution::choose_image` |
//! | a pull starts for one of several attempts | `attribution::choose_attempt` |
//! | a queued row is replaced by its pull, or ends without one | `outcome::missing_rows` |
//! | a failure gets the kubelet's reason | `outcome::kubelet_failure` |
//!
//! `docs/correlation.md` describes the rules.

mod attempt;
mod attribution;
mod delta;
mod demand;
mod matching;
mod node;
mod outcome;
mod pending;
mod pull_mode;
mod queue;
mod status;
mod tag_index;
mod updates;
mod view;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use pulltrace_core::wire::v1::NodeState;
use pulltrace_core::{ChangeKind, Mono, NodeName, Outcome, PodUid, PullId};

use self::delta::NodeDelta;
use self::node::{EvaluationContext, Node};
use self::pending::PendingOutcomes;
use self::tag_index::TagIndex;
use crate::change::{Changes, CorrelateStats, Scope};
use crate::clock::ServerNow;
use crate::cluster::{PodUpdate, PullEventUpdate, SourceFailure};
use crate::fleet::ended_pull;
use crate::limits::Limits;

pub use status::pod_status;

/// Cleanup interval for stale demands.
const CLEANUP_INTERVAL: Duration = Duration::from_secs(10);

/// Correlates the pulls of nodes with pods and kubelet events.
///
/// It needs no server: pulls arrive as [`Changes`], pods and events from any source.
///
/// ```
/// use std::sync::Arc;
/// use pulltrace_core::{ChangeKind, Mono, Phase, Pull, PullId};
/// use pulltrace_core::kubelet::KubeletMessage;
/// use pulltrace_server_lib::cluster::{PullEvent, PullEventUpdate};
/// use pulltrace_server_lib::correlate::Correlator;
/// use pulltrace_server_lib::change::{Changes, Correction, PullChange, Scope};
/// use pulltrace_server_lib::{Limits, ServerNow};
///
/// let now = ServerNow { mono: Mono::default(), at: "2026-11-24T16:08:05Z".parse()? };
/// let mut correlator = Correlator::new(Limits::default());
/// let message = r#"Pulling image "registry.test/app:1""#;
/// let message = KubeletMessage::parse("Pulling", message).unwrap();
/// let pod = pulltrace_core::PodRef {
///     namespace: "shop".parse()?,
///     name: "web".parse()?,
///     uid: "f7d35e9a".parse()?,
/// };
/// correlator.apply_event(PullEventUpdate::Apply(PullEvent {
///     name: "web.1".into(),
///     pod,
///     node: "w1".parse()?,
///     consumer: Some("app".parse()?),
///     message,
///     first_seen: "2026-11-24T16:08:04Z".parse()?,
///     last_seen: "2026-11-24T16:08:04Z".parse()?,
///     count: 1,
/// }), now);
///
/// let created = "2026-11-24T16:08:04.5Z".parse()?;
/// let id: PullId = format!("lease~w1~k8s.io~1-a~{}", 1_795_536_484_500_000_000_i64).parse()?;
/// let change = PullChange::new(ChangeKind::Started, Arc::new(Pull::new(id, Phase::Resolving, created)));
/// let mut changes = Changes::default();
/// changes.pulls.push(change);
/// let changes = correlator.apply_pulls(changes, now);
/// let links = changes.pulls[0].links.as_ref().unwrap();
/// assert_eq!(links.pods[0].0.pod.to_string(), "shop/web");
/// assert_eq!(links.pods[0].1.as_str(), "event");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Correlator {
    limits: Limits,
    nodes: BTreeMap<NodeName, Node>,
    /// The node of each pod that has demands.
    pods: HashMap<PodUid, NodeName>,
    tag_index: TagIndex,
    cluster_health: ClusterHealth,
    /// Pods received since the last `Init`, until `InitDone`.
    listed_pods: Option<HashSet<PodUid>>,
    pending_outcomes: PendingOutcomes,
    stats: CorrelateStats,
    last_cleanup: Mono,
}

/// The health of the sources of pods and events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClusterHealth {
    /// The source of pods.
    pub pods: SourceHealth,
    /// The source of kubelet events.
    pub events: SourceHealth,
}

/// The health of one source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum SourceHealth {
    /// There is no source, or it has not sent anything yet.
    #[default]
    Unknown,
    /// It sends its initial list.
    Listing,
    /// The list is complete; it sends changes as they happen.
    Live,
    /// It fails and retries.
    Failing(SourceFailure),
}

impl SourceHealth {
    /// Reports whether the source's data is complete and up to date.
    #[must_use]
    pub const fn is_live(&self) -> bool {
        matches!(self, Self::Live)
    }
}

/// An update while it is applied.
#[derive(Debug)]
struct PendingUpdate {
    now: ServerNow,
    /// The changes made so far.
    changes: Changes,
    /// The nodes to evaluate.
    dirty: BTreeSet<NodeName>,
}

/// The way an event or a removal became known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Received {
    /// From a list.
    Listed,
    /// As it happened.
    Live,
}

impl PendingUpdate {
    fn new(changes: Changes, now: ServerNow) -> Self {
        Self { now, changes, dirty: BTreeSet::new() }
    }
}

impl Correlator {
    /// Creates an empty correlator.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            nodes: BTreeMap::new(),
            pods: HashMap::new(),
            tag_index: TagIndex::default(),
            cluster_health: ClusterHealth::default(),
            listed_pods: None,
            pending_outcomes: PendingOutcomes::default(),
            stats: CorrelateStats::default(),
            last_cleanup: Mono::default(),
        }
    }

    /// Returns the current gauges and counters.
    #[must_use]
    pub const fn stats(&self) -> &CorrelateStats {
        &self.stats
    }

    /// Returns the health of the sources.
    #[must_use]
    pub const fn cluster_health(&self) -> &ClusterHealth {
        &self.cluster_health
    }

    /// Applies changes of the fleet. Returns them with the links of each pull, and with everything
    /// else that changed as a result.
    pub fn apply_pulls(&mut self, changes: Changes, now: ServerNow) -> Changes {
        let mut update = PendingUpdate::new(changes, now);
        for view in &update.changes.nodes {
            let node = self.nodes.entry(view.name.clone()).or_default();
            let has_agent = view.state != NodeState::Lost;
            if node.has_agent != has_agent {
                node.has_agent = has_agent;
                update.dirty.insert(view.name.clone());
            }
            node.clock_offset_ms = view.clock_offset_ms.unwrap_or(node.clock_offset_ms);
        }
        for name in &update.changes.removed_nodes {
            if let Some(node) = self.nodes.get_mut(name) {
                node.has_agent = false;
                update.dirty.insert(name.clone());
            }
        }
        let mut completed = Vec::new();
        for change in &update.changes.pulls {
            let name = change.pull.id.node();
            let node = self.nodes.entry(name.clone()).or_default();
            node.correction = change.correction;
            if change.kind != ChangeKind::Progressed || change.scope == Scope::Full {
                update.dirty.insert(name.clone());
            }
            if change.pull.outcome() == Some(Outcome::Completed) {
                completed.push(Arc::clone(&change.pull));
            }
            node.apply_pull(change, now.mono);
        }
        for id in &update.changes.removed_pulls {
            if let Some(node) = self.nodes.get_mut(id.node()) {
                node.pulls.remove(id);
            }
        }
        for pull in completed {
            self.index_tags(&pull, &mut update);
        }
        let events_live = self.cluster_health.events.is_live();
        self.pending_outcomes.defer_unexplained(&mut update.changes.ended, events_live, now.mono);
        self.finish(update)
    }

    /// Applies an update of a pod source.
    pub fn apply_pod(&mut self, pod_update: PodUpdate, now: ServerNow) -> Changes {
        let mut update = PendingUpdate::new(Changes::default(), now);
        match pod_update {
            PodUpdate::Init => {
                self.cluster_health.pods = SourceHealth::Listing;
                self.listed_pods = Some(HashSet::new());
            }
            PodUpdate::InitApply(pod) => {
                if let Some(listed) = &mut self.listed_pods
                    && (self.pods.contains_key(&pod.pod.uid) || pod.is_waiting())
                {
                    listed.insert(pod.pod.uid.clone());
                }
                self.upsert_pod(pod, &mut update);
            }
            PodUpdate::Apply(pod) => self.upsert_pod(pod, &mut update),
            PodUpdate::InitDone => {
                self.cluster_health.pods = SourceHealth::Live;
                if let Some(listed) = self.listed_pods.take() {
                    let unlisted = self.pods.keys().filter(|uid| !listed.contains(*uid));
                    let unlisted: Vec<PodUid> = unlisted.cloned().collect();
                    for uid in unlisted {
                        self.remove_pod(&uid, Received::Listed, &mut update);
                    }
                }
            }
            PodUpdate::Delete(uid) => self.remove_pod(&uid, Received::Live, &mut update),
            PodUpdate::Malformed => self.stats.pods_malformed += 1,
            PodUpdate::Failing(failure) => {
                self.cluster_health.pods = SourceHealth::Failing(failure);
            }
        }
        self.finish(update)
    }

    /// Applies an update of an event source.
    pub fn apply_event(&mut self, event_update: PullEventUpdate, now: ServerNow) -> Changes {
        let mut update = PendingUpdate::new(Changes::default(), now);
        match event_update {
            PullEventUpdate::Init => self.cluster_health.events = SourceHealth::Listing,
            PullEventUpdate::InitDone => self.cluster_health.events = SourceHealth::Live,
            PullEventUpdate::InitApply(event) => {
                self.record_event(&event, Received::Listed, &mut update);
            }
            PullEventUpdate::Apply(event) => {
                self.record_event(&event, Received::Live, &mut update);
            }
            PullEventUpdate::Malformed => self.stats.events_malformed += 1,
            PullEventUpdate::Failing(failure) => {
                self.cluster_health.events = SourceHealth::Failing(failure);
            }
        }
        self.finish(update)
    }

    /// Applies changes due to time alone. Call it about once per second.
    pub fn expire(&mut self, now: ServerNow) -> Changes {
        let mut update = PendingUpdate::new(Changes::default(), now);
        let timed = self.nodes.iter().filter(|(_, node)| node.is_time_dependent(now.mono));
        update.dirty.extend(timed.map(|(name, _)| name.clone()));
        if now.mono.since(self.last_cleanup) >= CLEANUP_INTERVAL {
            self.last_cleanup = now.mono;
            for (name, node) in &mut self.nodes {
                if node.clean_up(now.mono, self.limits.history_ttl) {
                    // Evaluation updates its counts.
                    update.dirty.insert(name.clone());
                }
            }
            let nodes = &self.nodes;
            self.pods.retain(|uid, name| nodes.get(name).is_some_and(|node| node.has_pod(uid)));
        }
        let changes = self.finish(update);
        self.nodes.retain(|_, node| !node.is_empty());
        changes
    }

    /// Evaluates the nodes that an update changed, and returns its changes with the results.
    fn finish(&mut self, update: PendingUpdate) -> Changes {
        let PendingUpdate { now, mut changes, dirty } = update;
        let mut deltas = self.evaluate(dirty, now);
        // Replace the fleet's version of each pull with the one that is shown.
        for change in &mut changes.pulls {
            let id = &change.pull.id;
            let Some(tracked) = self.nodes.get(id.node()).and_then(|node| node.pulls.get(id))
            else {
                continue;
            };
            if deltas.get(id.node()).is_some_and(|delta| delta.pulls.contains(id)) {
                change.scope = Scope::Full;
            }
            change.links.clone_from(&tracked.shown.links);
            change.pull = Arc::clone(&tracked.shown.pull);
        }
        for change in &changes.pulls {
            let id = &change.pull.id;
            if let Some(delta) = deltas.get_mut(id.node()) {
                delta.pulls.remove(id);
            }
        }
        for (name, delta) in deltas {
            let Some(node) = self.nodes.get(&name) else {
                continue;
            };
            let ended_rows = delta.rows.iter().filter(|(_, kind)| **kind == ChangeKind::Ended);
            let shown = ended_rows.filter_map(|(id, _)| node.shown_pull(id));
            for end in shown.filter_map(|shown| ended_pull(&shown.pull)) {
                self.pending_outcomes.push(end, now.mono);
            }
            node.append_changes(delta, &mut changes);
        }
        let nodes = &self.nodes;
        let shown = |id: &PullId| nodes.get(id.node())?.shown_pull(id);
        self.pending_outcomes.release(&shown, &mut changes.ended, now.mono);
        changes
    }

    /// Evaluates nodes, and updates the totals.
    fn evaluate(
        &mut self,
        dirty: BTreeSet<NodeName>,
        now: ServerNow,
    ) -> BTreeMap<NodeName, NodeDelta> {
        let context = EvaluationContext {
            tag_index: &self.tag_index,
            now,
            ttl: self.limits.history_ttl,
            pods_complete: self.cluster_health.pods.is_live(),
        };
        let mut deltas = BTreeMap::new();
        for name in dirty {
            if let Some(node) = self.nodes.get_mut(&name) {
                let delta = node.evaluate(&name, context);
                node.update_stats(&mut self.stats);
                self.stats.kubelet_agrees += delta.agrees;
                self.stats.kubelet_disagrees += delta.disagrees;
                deltas.insert(name, delta);
            }
        }
        deltas
    }
}

#[cfg(test)]
mod tests;
