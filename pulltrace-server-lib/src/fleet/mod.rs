//! Merges the reports of all nodes. Pure: results depend only on the arguments.
//!
//! | file | purpose |
//! |---|---|
//! | `agents` | which agent is accepted if several report for one node |
//! | `report` | reports of both versions, as they are applied |
//! | `v0` | reports of agents of version 0.1 |
//! | `merge` | merges a report into the known state of a pull |
//! | `correction` | conversion of node times to the server's clock |
//! | `count` | the ends and bytes that metrics count |
//! | `history` | which ended pulls are kept |
//! | `state` | the state shared by all nodes, and one step |
//! | `node` | the state of one node |

mod agents;
mod correction;
mod count;
mod history;
mod merge;
mod node;
mod report;
mod state;
mod v0;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Weak};

use pulltrace_core::wire::check::{AnyReport, CheckedPull, CheckedReport, ReportError, V0Report};
use pulltrace_core::wire::v1::{NodeState, ReportAck};
use pulltrace_core::{Digest, Image, NodeName, NodeTime, PullId};

use self::agents::ReportDecision;
use self::history::History;
use self::node::Node;
use self::report::{AcceptedReport, ReportHeader, ReportedPulls};
use self::state::{FleetState, FleetStep};
use crate::change::{Changes, Stats};
use crate::clock::ServerNow;
use crate::limits::Limits;

pub use correction::pull_status;
pub(crate) use correction::pull_status_without_layers;
pub(crate) use count::ended_pull;

/// The pulls of all nodes, as reported by their agents.
///
/// ```
/// use pulltrace_core::Mono;
/// use pulltrace_core::wire::check::parse;
/// use pulltrace_server_lib::fleet::Fleet;
/// use pulltrace_server_lib::{Limits, ServerNow};
///
/// let now = ServerNow { mono: Mono::default(), at: "2026-11-24T20:00:00Z".parse()? };
/// let mut fleet = Fleet::new("life-1", Limits::default(), now.at);
/// let body = br#"{"schemaVersion":"v1","nodeName":"w1","timestamp":"2026-11-24T20:00:00Z",
///     "sequence":1,"full":true,"agent":{"version":"0.1.0","instance":"a",
///     "startedAt":"2026-11-24T19:00:00Z","intervalMs":5000},
///     "pulls":[{"id":"lease~w1~k8s.io~1-a~0","phase":"resolving","startedAt":"2026-11-24T19:59:59Z"}]}"#;
/// let applied = fleet.apply(parse(body)?, now);
/// assert_eq!(applied.response.unwrap().accepted_seq, 1);
/// assert_eq!(applied.changes.pulls[0].pull.phase.as_str(), "resolving");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Fleet {
    epoch: String,
    nodes: BTreeMap<NodeName, Node>,
    state: FleetState,
    /// Images that several nodes report identically are stored once.
    image_cache: HashMap<Digest, Weak<Image>>,
    /// Number of images at which unused ones are removed.
    image_prune_at: usize,
}

/// The result of applying a report.
#[derive(Debug)]
pub struct Applied {
    /// The response to the agent.
    pub response: Result<ReportAck, ApplyError>,
    /// The changes; empty if the report was rejected.
    pub changes: Changes,
}

/// A rejected report.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ApplyError {
    /// An older agent reports for the same node and is accepted. A retry helps once that one is
    /// silent.
    #[error("another agent already reports for node {0}")]
    Conflict(NodeName),
    /// The node limit is reached. A retry helps once another node is removed.
    #[error("limit of {most} nodes reached")]
    TooManyNodes {
        /// The limit.
        most: usize,
    },
    /// The report has a version that can be parsed but that the fleet does not support. A retry
    /// does not help.
    #[error("unsupported report version")]
    UnsupportedVersion,
    /// The report is inconsistent. A retry does not help.
    #[error("inconsistent report")]
    Invalid(#[source] ReportError),
}

impl ApplyError {
    /// Returns advice for the user.
    #[must_use]
    pub const fn help(&self) -> Option<&'static str> {
        match self {
            Self::Conflict(_) => Some("Stop one of the agents, or give each node a unique name."),
            Self::TooManyNodes { .. } | Self::UnsupportedVersion | Self::Invalid(_) => None,
        }
    }
}

/// A report that is not applied.
enum NotApplied {
    /// It is ignored, with this response.
    Stale(ReportAck),
    Rejected(ApplyError),
}

impl From<ApplyError> for NotApplied {
    fn from(error: ApplyError) -> Self {
        Self::Rejected(error)
    }
}

impl Fleet {
    /// Creates an empty fleet for a server started at `started`. `epoch` must differ each time the
    /// server starts.
    #[must_use]
    pub fn new(epoch: impl Into<String>, limits: Limits, started: NodeTime) -> Self {
        Self {
            epoch: epoch.into(),
            nodes: BTreeMap::new(),
            state: FleetState {
                limits,
                started,
                history: History::default(),
                eviction_floor: None,
                stats: Stats::default(),
            },
            image_cache: HashMap::new(),
            image_prune_at: 1_024,
        }
    }

    /// Returns the current gauges and counters.
    #[must_use]
    pub const fn stats(&self) -> &Stats {
        &self.state.stats
    }

    /// Applies a report received at `now`.
    ///
    /// A first report of an agent that is not full is accepted, and the response has `needFull`. A
    /// report whose sequence is not greater than the last one is ignored. A pull missing from a
    /// full report has ended with an unknown outcome.
    ///
    /// Reports of version 0.1 are always full. They have no sequence, so their time is used. They
    /// are rejected while a newer agent reports for the node, since that one has more data.
    pub fn apply(&mut self, report: AnyReport, now: ServerNow) -> Applied {
        let accepted = match report {
            AnyReport::V1(report) => self.accept_v1(report, now),
            AnyReport::V0(report) => self.accept_v0(&report, now),
            _ => Err(ApplyError::UnsupportedVersion.into()),
        };
        let mut changes = Changes::default();
        let response = match accepted {
            Ok(report) => Ok(self.commit(report, now, &mut changes)),
            Err(NotApplied::Stale(ack)) => Ok(ack),
            Err(NotApplied::Rejected(error)) => Err(error),
        };
        Applied { response, changes }
    }

    /// Applies changes due to time: silent nodes become lost, and old history is removed. Call it
    /// about once per second.
    pub fn expire(&mut self, now: ServerNow) -> Changes {
        let mut changes = Changes::default();
        let Limits { lost_after, history_ttl, .. } = self.state.limits;
        let mut update = FleetStep { fleet: &mut self.state, changes: &mut changes, now };
        for node in self.nodes.values_mut() {
            let silence = node.agents.silent_for(now.mono);
            if node.agents.is_lost(now.mono, lost_after) {
                if node.state() != NodeState::Lost {
                    node.mark_lost(&mut update);
                }
                if silence > history_ttl {
                    node.synced = false;
                    node.end_as_unknown(|_| true, &mut update);
                    node.prune(&mut update);
                }
            } else if !node.agents.has_conflict(now.mono, lost_after) {
                node.set_state(NodeState::Live);
            }
        }
        let oldest = now.at.saturating_sub(history_ttl);
        while let Some((_, id)) = update.fleet.history.ended_before(oldest).cloned() {
            remove_pull(&mut self.nodes, &id, &mut update);
        }
        evict(&mut self.nodes, &mut update);
        self.nodes.retain(|name, node| {
            let expired = node.is_empty() && node.agents.silent_for(now.mono) > history_ttl;
            if expired {
                update.changes.removed_nodes.push(name.clone());
            } else {
                node.publish_view(&mut update);
            }
            !expired
        });
        self.count_nodes();
        changes
    }

    fn accept_v1(
        &mut self,
        report: CheckedReport,
        now: ServerNow,
    ) -> Result<AcceptedReport, NotApplied> {
        let CheckedReport {
            node, timestamp, sequence, full, agent, node_info, images, pulls, ..
        } = report;
        let header = ReportHeader {
            node,
            sent_at: timestamp,
            sequence,
            full,
            agent,
            runtime_version: node_info.runtime_version,
        };
        let decision = self.admit(&header, now)?;
        let images = self.intern(images);
        let reported = self
            .resolve_pulls(&header, &images, pulls)
            .inspect_err(|_| self.state.stats.counters.reports_invalid += 1)
            .map_err(ApplyError::Invalid)?;
        Ok(AcceptedReport { header, decision, images, reported })
    }

    fn accept_v0(
        &mut self,
        report: &V0Report,
        now: ServerNow,
    ) -> Result<AcceptedReport, NotApplied> {
        let header = v0::header(report);
        let lost_after = self.state.limits.lost_after;
        let newer = self.nodes.get(&header.node).is_some_and(|node| {
            let active = &node.agents.active;
            !active.matches(&header.agent) && !active.is_silent(now.mono, lost_after)
        });
        if newer {
            self.state.stats.counters.reports_conflict += 1;
            return Err(ApplyError::Conflict(header.node).into());
        }
        let decision = self.admit(&header, now)?;
        let node = self.nodes.get_mut(&header.node);
        let meters = node.map(|node| std::mem::take(&mut node.rate_meters)).unwrap_or_default();
        let live = self.nodes.get(&header.node).into_iter().flat_map(Node::live_pulls);
        let reported = v0::to_pulls(report, live, meters, now.mono);
        Ok(AcceptedReport { header, decision, images: Vec::new(), reported })
    }

    /// Decides whether to accept a report, and how. Returns `None` if its node is new.
    fn admit(
        &mut self,
        header: &ReportHeader,
        now: ServerNow,
    ) -> Result<Option<ReportDecision>, NotApplied> {
        let Limits { lost_after, nodes, .. } = self.state.limits;
        let counters = &mut self.state.stats.counters;
        let Some(node) = self.nodes.get_mut(&header.node) else {
            if self.nodes.len() < nodes {
                return Ok(None);
            }
            counters.nodes_refused += 1;
            return Err(ApplyError::TooManyNodes { most: nodes }.into());
        };
        let decision = node.agents.decide(
            &header.agent,
            header.sequence,
            header.sent_at,
            now.mono,
            lost_after,
        );
        match decision {
            ReportDecision::Stale { accepted } => {
                counters.reports_late += 1;
                let synced = node.synced;
                Err(NotApplied::Stale(self.ack(accepted, !synced)))
            }
            ReportDecision::Reject => {
                node.agents.apply(decision, header.to_agent(now));
                counters.reports_conflict += 1;
                Err(ApplyError::Conflict(header.node.clone()).into())
            }
            ReportDecision::Accept | ReportDecision::Takeover | ReportDecision::Conflict => {
                Ok(Some(decision))
            }
        }
    }

    fn commit(
        &mut self,
        report: AcceptedReport,
        now: ServerNow,
        changes: &mut Changes,
    ) -> ReportAck {
        let AcceptedReport { header, decision, images, reported } = report;
        let mut update = FleetStep { fleet: &mut self.state, changes, now };
        update.fleet.stats.counters.reports += 1;
        update.fleet.stats.counters.images_missing += reported.missing_images;
        let node = self.nodes.entry(header.node.clone());
        let node = node.or_insert_with(|| Node::new(&header, now));
        let agent_changed =
            matches!(decision, Some(ReportDecision::Takeover | ReportDecision::Conflict));
        if let Some(decision) = decision {
            node.agents.apply(decision, header.to_agent(now));
            let conflict = decision == ReportDecision::Conflict;
            update.fleet.stats.counters.conflicts += u64::from(conflict);
        }
        node.record_report(&header, agent_changed, &mut update);
        let conflict = node.agents.has_conflict(now.mono, update.fleet.limits.lost_after);
        node.set_state(if conflict { NodeState::Conflict } else { NodeState::Live });
        node.rate_meters = reported.rate_meters;
        for pull in reported.pulls {
            node.apply_pull(pull, &mut update);
        }
        node.store_images(images);
        if header.full {
            node.end_as_unknown(|id| !reported.ids.contains(id), &mut update);
            node.synced = true;
        }
        node.prune(&mut update);
        let need_full = !node.synced || reported.missing_images > 0;
        evict(&mut self.nodes, &mut update);
        if let Some(node) = self.nodes.get_mut(&header.node) {
            node.publish_view(&mut update);
        }
        self.ack(header.sequence, need_full)
    }

    fn ack(&self, accepted_seq: u64, need_full: bool) -> ReportAck {
        ReportAck {
            server_epoch: self.epoch.clone(),
            accepted_seq,
            need_full,
            next_report_ms: None,
        }
    }

    /// Combines the pulls of a report with their images, from this report or an earlier one.
    fn resolve_pulls(
        &self,
        header: &ReportHeader,
        images: &[Arc<Image>],
        pulls: Vec<CheckedPull>,
    ) -> Result<ReportedPulls, ReportError> {
        let node = self.nodes.get(&header.node);
        let images: HashMap<&Digest, &Arc<Image>> =
            images.iter().map(|image| (&image.root, image)).collect();
        let find_image = |root: &Digest| {
            let in_report = images.get(root).copied();
            in_report.or_else(|| node?.image(root)).cloned()
        };
        let mut reported = ReportedPulls::default();
        for pull in pulls {
            if header.full {
                reported.ids.insert(pull.id().clone());
            }
            let image = pull.image().map(find_image);
            match image {
                Some(None) => reported.missing_images += 1,
                Some(Some(image)) => reported.pulls.push(pull.into_pull(Some(image))?),
                None => reported.pulls.push(pull.into_pull(None)?),
            }
        }
        Ok(reported)
    }

    /// Replaces images by stored copies that are equal. If nodes report different layers for an
    /// image, only the first version is shared.
    fn intern(&mut self, images: Vec<Arc<Image>>) -> Vec<Arc<Image>> {
        if self.image_cache.len() + images.len() > self.image_prune_at {
            self.image_cache.retain(|_, image| image.strong_count() > 0);
            self.image_prune_at = (self.image_cache.len() + images.len()) * 2 + 1_024;
        }
        let deduplicate = |image: Arc<Image>| {
            let kept = self.image_cache.get(&image.root).and_then(Weak::upgrade);
            match kept {
                Some(kept) if kept == image => kept,
                Some(_) => image,
                None => {
                    let root = image.root.clone();
                    self.image_cache.insert(root, Arc::downgrade(&image));
                    image
                }
            }
        };
        images.into_iter().map(deduplicate).collect()
    }

    fn count_nodes(&mut self) {
        let count = |state| self.nodes.values().filter(|n| n.state() == state).count() as u64;
        let stats = &mut self.state.stats;
        stats.nodes_live = count(NodeState::Live);
        stats.nodes_lost = count(NodeState::Lost);
        stats.nodes_conflict = count(NodeState::Conflict);
    }
}

/// Enforces the limits of the history, oldest first. Layers are dropped before rows.
fn evict(nodes: &mut BTreeMap<NodeName, Node>, update: &mut FleetStep<'_>) {
    let most = update.fleet.limits.ended;
    while let Some(id) = update.fleet.history.drop_oldest_layers(most / 2) {
        let node = nodes.get_mut(id.node());
        let stripped = node.is_some_and(|node| node.drop_layers(&id, update));
        update.fleet.stats.counters.layers_evicted += u64::from(stripped);
    }
    while let Some((since, id)) = update.fleet.history.over_limit(most).cloned() {
        update.fleet.eviction_floor = update.fleet.eviction_floor.max(Some(since));
        update.fleet.stats.counters.ended_evicted += 1;
        remove_pull(nodes, &id, update);
    }
    update.fleet.stats.ended = update.fleet.history.len() as u64;
}

fn remove_pull(nodes: &mut BTreeMap<NodeName, Node>, id: &PullId, update: &mut FleetStep<'_>) {
    if let Some(node) = nodes.get_mut(id.node()) {
        node.remove_pull(id, update);
    }
}

#[cfg(test)]
mod tests;
