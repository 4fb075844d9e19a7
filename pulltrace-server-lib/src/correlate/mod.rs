//! Correlates pods with the image pulls they wait for. Pure: results depend only on the arguments.
//!
//! | file | purpose |
//! |---|---|
//! | `demand` | the image a container or volume needs, and the attempts its kubelet reported |
//! | `tag_index` | the names each digest was seen under |
//! | `matching` | how well a pull matches an image, by name and digest |
//! | `attribution` | which pods wait for which pull of a node, and the evidence |
//! | `queue` | rows for announced images that have no pull |
//! | `announced` | which of those rows are shown, including ended ones |
//! | `view` | the images one pod waits for, and the time left |
//! | `updates` | applies updates of pods and events |
//! | `node` | the state of one node, and its evaluation |
//! | `pending` | ends that wait for the kubelet's reason |
//!
//! `docs/correlation.md` describes the rules.

mod announced;
mod attribution;
mod demand;
mod matching;
mod node;
mod pending;
mod queue;
mod tag_index;
mod updates;
mod view;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use pulltrace_core::wire::v1::NodeState;
use pulltrace_core::{ChangeKind, Mono, NodeName, Outcome, PodUid, PullId};

use self::node::{Evaluation, EvaluationContext, Node};
use self::pending::PendingOutcomes;
use self::tag_index::TagIndex;
use crate::change::{Changes, CorrelateStats, PullChange, Scope};
use crate::clock::ServerNow;
use crate::cluster::{ImagePresence, Pod, PodUpdate, PullEventUpdate, SourceFailure};
use crate::fleet::ended_pull;
use crate::limits::Limits;

pub use view::pod_status;

/// Cleanup interval for stale demands.
const CLEANUP_INTERVAL: Duration = Duration::from_secs(10);

/// Correlates the pulls of nodes with pods and kubelet events.
///
/// It needs no server: pulls arrive as [`Changes`], pods and events from any source.
///
/// ```
/// use std::sync::Arc;
/// use pulltrace_core::{ChangeKind, Mono, Phase, Pull, PullId};
/// use pulltrace_server_lib::cluster::{PullEvent, PullEventKind, PullEventUpdate};
/// use pulltrace_server_lib::correlate::Correlator;
/// use pulltrace_server_lib::change::{Changes, Correction, PullChange, Scope};
/// use pulltrace_server_lib::{Limits, ServerNow};
///
/// let now = ServerNow { mono: Mono::default(), at: "2026-11-24T16:08:05Z".parse()? };
/// let mut correlator = Correlator::new(Limits::default());
/// let message = r#"Pulling image "registry.test/app:1""#;
/// let (kind, image) = PullEventKind::parse("Pulling", message).unwrap();
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
///     image,
///     first_seen: "2026-11-24T16:08:04Z".parse()?,
///     last_seen: "2026-11-24T16:08:04Z".parse()?,
///     count: 1,
///     kind,
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
    pub fn apply_pulls(&mut self, mut changes: Changes, now: ServerNow) -> Changes {
        let mut dirty = BTreeSet::new();
        for view in &changes.nodes {
            let node = self.nodes.entry(view.name.clone()).or_default();
            let has_agent = view.state != NodeState::Lost;
            if node.has_agent != has_agent {
                node.has_agent = has_agent;
                dirty.insert(view.name.clone());
            }
            node.clock_offset_ms = view.clock_offset_ms.unwrap_or(node.clock_offset_ms);
        }
        for name in &changes.removed_nodes {
            if let Some(node) = self.nodes.get_mut(name) {
                node.has_agent = false;
                dirty.insert(name.clone());
            }
        }
        let mut completed = Vec::new();
        for change in &changes.pulls {
            let name = change.pull.id.node();
            let node = self.nodes.entry(name.clone()).or_default();
            node.correction = change.correction;
            if change.kind != ChangeKind::Progressed || change.scope == Scope::Full {
                dirty.insert(name.clone());
            }
            if change.pull.outcome() == Some(Outcome::Completed) {
                completed.push(Arc::clone(&change.pull));
            }
            node.apply_pull(change, now.mono);
        }
        for id in &changes.removed_pulls {
            if let Some(node) = self.nodes.get_mut(id.node()) {
                node.pulls.remove(id);
            }
        }
        for pull in completed {
            self.index_tags(&pull, &mut dirty);
        }
        let live = self.cluster_health.events.is_live();
        self.pending_outcomes.defer_unexplained(&mut changes.ended, live, now.mono);
        self.evaluate_dirty(changes, dirty, now)
    }

    /// Applies an update of a pod source.
    pub fn apply_pod(&mut self, update: PodUpdate, now: ServerNow) -> Changes {
        let mut dirty = BTreeSet::new();
        match update {
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
                self.upsert_pod(pod, now, &mut dirty);
            }
            PodUpdate::Apply(pod) => self.upsert_pod(pod, now, &mut dirty),
            PodUpdate::InitDone => {
                self.cluster_health.pods = SourceHealth::Live;
                if let Some(listed) = self.listed_pods.take() {
                    let gone = self.pods.keys().filter(|uid| !listed.contains(*uid));
                    let gone: Vec<PodUid> = gone.cloned().collect();
                    for uid in gone {
                        self.remove_pod(&uid, true, now, &mut dirty);
                    }
                }
            }
            PodUpdate::Delete(uid) => self.remove_pod(&uid, false, now, &mut dirty),
            PodUpdate::Malformed => self.stats.pods_malformed += 1,
            PodUpdate::Failing(failure) => {
                self.cluster_health.pods = SourceHealth::Failing(failure);
            }
        }
        self.evaluate_dirty(Changes::default(), dirty, now)
    }

    /// Applies an update of an event source.
    pub fn apply_event(&mut self, update: PullEventUpdate, now: ServerNow) -> Changes {
        let mut dirty = BTreeSet::new();
        match update {
            PullEventUpdate::Init => self.cluster_health.events = SourceHealth::Listing,
            PullEventUpdate::InitDone => self.cluster_health.events = SourceHealth::Live,
            PullEventUpdate::InitApply(event) => self.record_event(&event, false, now, &mut dirty),
            PullEventUpdate::Apply(event) => self.record_event(&event, true, now, &mut dirty),
            PullEventUpdate::Malformed => self.stats.events_malformed += 1,
            PullEventUpdate::Failing(failure) => {
                self.cluster_health.events = SourceHealth::Failing(failure);
            }
        }
        self.evaluate_dirty(Changes::default(), dirty, now)
    }

    /// Applies changes due to time alone. Call it about once per second.
    pub fn expire(&mut self, now: ServerNow) -> Changes {
        let timed = self.nodes.iter().filter(|(_, node)| node.is_time_dependent(now.mono));
        let mut dirty: BTreeSet<NodeName> = timed.map(|(name, _)| name.clone()).collect();
        if now.mono.since(self.last_cleanup) >= CLEANUP_INTERVAL {
            self.last_cleanup = now.mono;
            let ttl = self.limits.history_ttl;
            for (name, node) in &mut self.nodes {
                if node.clean_up(now.mono, ttl) {
                    // Evaluation updates its counts.
                    dirty.insert(name.clone());
                }
            }
            let nodes = &self.nodes;
            self.pods.retain(|uid, name| {
                nodes.get(name).is_some_and(|node| node.demands_of_pod(uid).next().is_some())
            });
        }
        let changes = self.evaluate_dirty(Changes::default(), dirty, now);
        self.nodes.retain(|_, node| !node.is_empty());
        changes
    }

    /// Evaluates the nodes that changed, and adds the results to the changes.
    fn evaluate_dirty(
        &mut self,
        mut changes: Changes,
        dirty: BTreeSet<NodeName>,
        now: ServerNow,
    ) -> Changes {
        let context = EvaluationContext {
            tag_index: &self.tag_index,
            now,
            ttl: self.limits.history_ttl,
            pods_complete: self.cluster_health.pods.is_live(),
        };
        let mut evaluations: BTreeMap<NodeName, Evaluation> = BTreeMap::new();
        for name in dirty {
            if let Some(node) = self.nodes.get_mut(&name) {
                let evaluation = node.evaluate(&name, context);
                node.update_stats(&mut self.stats);
                self.stats.kubelet_agrees += evaluation.agrees;
                self.stats.kubelet_disagrees += evaluation.disagrees;
                evaluations.insert(name, evaluation);
            }
        }
        // Replace the fleet's version of each pull with the one that is shown.
        let mut updated: HashSet<PullId> = HashSet::new();
        for change in &mut changes.pulls {
            let id = &change.pull.id;
            let Some(node) = self.nodes.get(id.node()) else {
                continue;
            };
            let Some(known) = node.pulls.get(id) else {
                continue;
            };
            let evaluation = evaluations.get(id.node());
            if evaluation.is_some_and(|evaluation| evaluation.pulls.contains(id)) {
                change.scope = Scope::Full;
                updated.insert(id.clone());
            }
            change.pull = Arc::clone(&known.shown);
            change.links.clone_from(&known.links);
        }
        for (name, evaluation) in evaluations {
            if let Some(node) = self.nodes.get(&name) {
                let ended_rows =
                    evaluation.rows.iter().filter(|(_, kind)| **kind == ChangeKind::Ended);
                for (id, _) in ended_rows {
                    let end = node.announced.get(id).and_then(|(pull, _)| ended_pull(pull));
                    end.into_iter().for_each(|end| self.pending_outcomes.push(end, now.mono));
                }
                append_changes(node, evaluation, &updated, &mut changes);
            }
        }
        let nodes = &self.nodes;
        let known = |id: &PullId| nodes.get(id.node())?.shown_pull(id);
        self.pending_outcomes.release(&known, &mut changes.ended, now.mono);
        changes
    }
}

/// Appends the results of an evaluation to the changes, except pulls that are already in them.
fn append_changes(
    node: &Node,
    evaluation: Evaluation,
    already_changed: &HashSet<PullId>,
    changes: &mut Changes,
) {
    let Evaluation { pulls, rows, removed_rows: gone, pods, removed_pods: gone_pods, .. } =
        evaluation;
    for id in pulls.iter().filter(|id| !already_changed.contains(*id)) {
        if let Some(known) = node.pulls.get(id) {
            changes.pulls.push(PullChange {
                correction: node.correction,
                links: known.links.clone(),
                ..PullChange::new(ChangeKind::Progressed, Arc::clone(&known.shown))
            });
        }
    }
    for (id, kind) in rows {
        if let Some((pull, links)) = node.announced.get(&id) {
            changes.pulls.push(PullChange {
                correction: node.correction,
                links: Some(Arc::clone(links)),
                ..PullChange::new(kind, Arc::clone(pull))
            });
        }
    }
    changes.removed_pulls.extend(gone);
    changes.pods.extend(pods);
    changes.removed_pods.extend(gone_pods);
}

impl Pod {
    /// Reports whether any of its images may be missing.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        let waits = |state: &ImagePresence| matches!(state, ImagePresence::Waiting { .. });
        self.images.iter().any(|image| waits(&image.presence))
    }
}

#[cfg(test)]
mod tests;
