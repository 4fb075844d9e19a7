//! Merges the reports of all nodes. Pure: results depend only on the arguments.
//!
//! | file | purpose |
//! |---|---|
//! | `agents` | which agent is accepted if several report for one node |
//! | `merge` | merges a report into the known state of a pull |
//! | `node` | the state of one node |
//! | `v0` | reports of agents of version 0.1 |
//! | `history` | which ended pulls are kept |
//! | `count` | the ends and bytes that metrics count |
//! | `correction` | conversion of node times to the server's clock |

mod agents;
mod correction;
mod count;
mod history;
mod merge;
mod node;
mod v0;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Weak};

use pulltrace_core::wire::check::{AnyReport, CheckedPull, CheckedReport, ReportError};
use pulltrace_core::wire::v1::{NodeState, ReportAck};
use pulltrace_core::{Digest, Image, NodeName, NodeTime, Pull, PullId};

use self::agents::{ReportDecision, ReportHeader};
use self::history::History;
use self::node::{FleetState, Node};
use crate::clock::ServerNow;
use crate::limits::Limits;

pub use crate::change::{
    Changes, Correction, Counters, DownloadedBytes, EndedPull, LiveTotals, NodeView, PerPhase,
    PullChange, Scope, Stats,
};
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

/// The decision about a report.
enum Admission {
    /// It is ignored, with this response.
    Stale(ReportAck),
    /// It is accepted; `None` if its node is new.
    Accepted(Option<ReportDecision>),
}

/// The pulls of a report, and the number of pulls dropped because their image is unknown.
struct ReportedPulls {
    pulls: Vec<Pull>,
    /// All pulls in a full report.
    ids: HashSet<PullId>,
    missing_images: u64,
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
        let mut changes = Changes::default();
        let response = match report {
            AnyReport::V1(report) => self.apply_v1(report, now, &mut changes),
            AnyReport::V0(report) => self.apply_v0(report, now, &mut changes),
            _ => Err(ApplyError::UnsupportedVersion),
        };
        Applied { response, changes }
    }

    /// Applies changes due to time: silent nodes become lost, and old history is removed. Call it
    /// about once per second.
    pub fn expire(&mut self, now: ServerNow) -> Changes {
        let mut changes = Changes::default();
        let Limits { lost_after, history_ttl, .. } = self.state.limits;
        let fleet = &mut self.state;
        for node in self.nodes.values_mut() {
            let silence = node.agents.silent_for(now.mono);
            if node.agents.is_lost(now.mono, lost_after) {
                if node.state() != NodeState::Lost {
                    node.mark_lost(fleet, &mut changes);
                }
                if silence > history_ttl {
                    node.synced = false;
                    node.end_as_unknown(|_| true, now, fleet, &mut changes);
                    node.prune(fleet, &mut changes);
                }
            } else if !node.agents.has_conflict(now.mono, lost_after) {
                node.set_state(NodeState::Live);
            }
        }
        let oldest = now.at.saturating_sub(history_ttl);
        while let Some((_, id)) = self.state.history.ended_before(oldest).cloned() {
            self.remove_pull(&id, &mut changes);
        }
        self.evict(&mut changes);
        self.nodes.retain(|name, node| {
            let expired = node.is_empty() && node.agents.silent_for(now.mono) > history_ttl;
            if expired {
                changes.removed_nodes.push(name.clone());
            } else {
                node.publish_view(&mut changes);
            }
            !expired
        });
        self.count_nodes();
        changes
    }

    fn apply_v1(
        &mut self,
        report: CheckedReport,
        now: ServerNow,
        changes: &mut Changes,
    ) -> Result<ReportAck, ApplyError> {
        let CheckedReport {
            node,
            timestamp: sent,
            sequence,
            full,
            agent,
            node_info: info,
            images,
            pulls,
            ..
        } = report;
        let header = ReportHeader {
            node,
            sent_at: sent,
            sequence,
            full,
            agent,
            runtime_version: info.runtime_version,
        };
        let decision = match self.admit(&header, now)? {
            Admission::Stale(ack) => return Ok(ack),
            Admission::Accepted(decision) => decision,
        };
        let images = self.intern(images);
        let reported = self
            .resolve_pulls(&header, &images, pulls)
            .inspect_err(|_| self.state.stats.counters.reports_invalid += 1)
            .map_err(ApplyError::Invalid)?;
        Ok(self.commit(&header, decision, reported, images, now, changes))
    }

    /// Decides whether a report is accepted.
    fn admit(&mut self, header: &ReportHeader, now: ServerNow) -> Result<Admission, ApplyError> {
        let Limits { lost_after, nodes, .. } = self.state.limits;
        let counters = &mut self.state.stats.counters;
        let Some(node) = self.nodes.get_mut(&header.node) else {
            if self.nodes.len() < nodes {
                return Ok(Admission::Accepted(None));
            }
            counters.nodes_refused += 1;
            return Err(ApplyError::TooManyNodes { most: nodes });
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
                Ok(Admission::Stale(self.ack(accepted, !synced)))
            }
            ReportDecision::Reject => {
                node.agents.apply(decision, header.to_agent(now));
                counters.reports_conflict += 1;
                Err(ApplyError::Conflict(header.node.clone()))
            }
            ReportDecision::Accept | ReportDecision::Takeover | ReportDecision::Conflict => {
                Ok(Admission::Accepted(Some(decision)))
            }
        }
    }

    /// Applies an accepted and valid report.
    fn commit(
        &mut self,
        header: &ReportHeader,
        decision: Option<ReportDecision>,
        reported: ReportedPulls,
        images: Vec<Arc<Image>>,
        now: ServerNow,
        changes: &mut Changes,
    ) -> ReportAck {
        let fleet = &mut self.state;
        fleet.stats.counters.reports += 1;
        fleet.stats.counters.images_missing += reported.missing_images;
        let node = self.nodes.entry(header.node.clone()).or_insert_with(|| Node::new(header, now));
        let agent_changed =
            matches!(decision, Some(ReportDecision::Takeover | ReportDecision::Conflict));
        if let Some(standing) = decision {
            node.agents.apply(standing, header.to_agent(now));
            fleet.stats.counters.conflicts += u64::from(standing == ReportDecision::Conflict);
        }
        node.record_report(header, agent_changed, now, changes);
        let conflict = node.agents.has_conflict(now.mono, fleet.limits.lost_after);
        node.set_state(if conflict { NodeState::Conflict } else { NodeState::Live });
        for pull in reported.pulls {
            node.apply_pull(pull, now, fleet, changes);
        }
        node.store_images(images);
        if header.full {
            node.end_as_unknown(|id| !reported.ids.contains(id), now, fleet, changes);
            node.synced = true;
        }
        node.prune(fleet, changes);
        let need_full = !node.synced || reported.missing_images > 0;
        self.evict(changes);
        if let Some(node) = self.nodes.get_mut(&header.node) {
            node.publish_view(changes);
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
        let mut reported = ReportedPulls {
            pulls: Vec::with_capacity(pulls.len()),
            ids: HashSet::new(),
            missing_images: 0,
        };
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

    /// Enforces the limits of the history, oldest first. Layers are dropped before rows.
    fn evict(&mut self, changes: &mut Changes) {
        let most = self.state.limits.ended;
        while let Some(id) = self.state.history.drop_oldest_layers(most / 2) {
            let node = self.nodes.get_mut(id.node());
            let stripped = node.is_some_and(|node| node.drop_layers(&id, changes));
            self.state.stats.counters.layers_evicted += u64::from(stripped);
        }
        while let Some((since, id)) = self.state.history.over_limit(most).cloned() {
            self.state.eviction_floor = self.state.eviction_floor.max(Some(since));
            self.state.stats.counters.ended_evicted += 1;
            self.remove_pull(&id, changes);
        }
        self.state.stats.ended = self.state.history.len() as u64;
    }

    fn remove_pull(&mut self, id: &PullId, changes: &mut Changes) {
        if let Some(node) = self.nodes.get_mut(id.node()) {
            node.remove_pull(id, &mut self.state, changes);
        }
    }

    fn count_nodes(&mut self) {
        let count = |state| self.nodes.values().filter(|n| n.state() == state).count() as u64;
        let stats = &mut self.state.stats;
        stats.nodes_live = count(NodeState::Live);
        stats.nodes_lost = count(NodeState::Lost);
        stats.nodes_conflict = count(NodeState::Conflict);
    }
}

#[cfg(test)]
mod tests;
