//! The reports of all nodes as one state. Everything here is a function of what was handed in.
//!
//! | file | the question |
//! |---|---|
//! | `agents` | who is believed of the agents that report under one name? |
//! | `merge` | what is a pull, after what was known of it and what is told now? |
//! | `node` | what is shown of one node? |
//! | `v0` | what is shown of what an agent of version 0.1 tells? |
//! | `history` | which ended pulls are kept? |
//! | `count` | what do metrics count? |
//! | `correction` | what is a node's time on the server's clock? |

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

use self::agents::{Heard, Standing};
use self::history::History;
use self::node::{Node, Whole};
use crate::clock::ServerNow;
use crate::limits::Limits;

pub use crate::change::{
    Changes, Correction, Counters, Downloaded, Ended, LiveSums, NodeView, PerPhase, PullChange,
    Scope, Stats,
};
pub use correction::status;
pub(crate) use correction::status_bare;
pub(crate) use count::ended;

/// What all nodes pull, as their agents tell.
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
/// assert_eq!(applied.verdict.unwrap().accepted_seq, 1);
/// assert_eq!(applied.changes.pulls[0].pull.phase.as_str(), "resolving");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Fleet {
    epoch: String,
    nodes: BTreeMap<NodeName, Node>,
    all: Whole,
    /// Images that several nodes tell alike are kept once.
    images: HashMap<Digest, Weak<Image>>,
    /// With so many images it is time to look which are still there.
    images_most: usize,
}

/// What became of a report.
#[derive(Debug)]
pub struct Applied {
    /// What its agent is answered.
    pub verdict: Result<ReportAck, Refusal>,
    /// What changed; nothing where it was refused.
    pub changes: Changes,
}

/// A report that was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// An older agent reports under the same node name and is believed. A retry helps once that one is
    /// silent.
    #[error(
        "another agent reports as node {0}: stop one of them, or give each node a name of its own"
    )]
    Conflict(NodeName),
    /// There are as many nodes as may be. A retry helps once another one is forgotten.
    #[error("{most} nodes report already, which is the limit")]
    TooManyNodes {
        /// The limit.
        most: usize,
    },
    /// It is of a version that the library reads and the fleet does not. The same report never passes.
    #[error("reports of this version are not taken")]
    Version,
    /// It contradicts itself. The same report never passes.
    #[error("the report cannot be true")]
    Invalid(#[source] ReportError),
}

/// What is done with a report.
enum Judged {
    /// Nothing, and its agent is answered this.
    Late(ReportAck),
    /// It is taken; `None` where its node is new.
    Taken(Option<Standing>),
}

/// The pulls of a report, and how many were left out since their image is not known.
struct Told {
    pulls: Vec<Pull>,
    /// All that a full report names.
    ids: HashSet<PullId>,
    missing: u64,
}

impl Fleet {
    /// A fleet of which nothing is known yet. `epoch` is another one for each life of the server, which
    /// starts at `started`.
    #[must_use]
    pub fn new(epoch: impl Into<String>, limits: Limits, started: NodeTime) -> Self {
        Self {
            epoch: epoch.into(),
            nodes: BTreeMap::new(),
            all: Whole {
                limits,
                started,
                history: History::default(),
                floor: None,
                stats: Stats::default(),
            },
            images: HashMap::new(),
            images_most: 1_024,
        }
    }

    /// What there is, and what was counted.
    #[must_use]
    pub const fn stats(&self) -> &Stats {
        &self.all.stats
    }

    /// Takes a report that came in at `now`.
    ///
    /// The first report of an agent that is not full is taken, and answered with `needFull`. A sequence
    /// that is not greater than the last one is ignored. A pull that is absent from a full report is
    /// over, without evidence of how.
    ///
    /// One of an agent of version 0.1 tells all there is; it has no sequence, so its time is one. Where
    /// a newer agent reports for the node too, it is refused: the newer one tells more.
    pub fn apply(&mut self, report: AnyReport, now: ServerNow) -> Applied {
        let mut changes = Changes::default();
        let verdict = match report {
            AnyReport::V1(report) => self.take(report, now, &mut changes),
            AnyReport::V0(report) => self.take_v0(report, now, &mut changes),
            _ => Err(Refusal::Version),
        };
        Applied { verdict, changes }
    }

    /// Lets time pass: nodes fall silent, and what is old goes. To be called about each second.
    pub fn expire(&mut self, now: ServerNow) -> Changes {
        let mut changes = Changes::default();
        let Limits {
            lost_after,
            history_ttl,
            ..
        } = self.all.limits;
        let all = &mut self.all;
        for node in self.nodes.values_mut() {
            let silence = node.agents.silence(now.mono);
            if node.agents.is_lost(now.mono, lost_after) {
                if node.state() != NodeState::Lost {
                    node.lose(all, &mut changes);
                }
                if silence > history_ttl {
                    node.synced = false;
                    node.give_up(|_| true, now, all, &mut changes);
                    node.tidy(all, &mut changes);
                }
            } else if !node.agents.is_conflict(now.mono, lost_after) {
                node.set_state(NodeState::Live);
            }
        }
        let oldest = now.at.saturating_sub(history_ttl);
        while let Some((_, id)) = self.all.history.before(oldest).cloned() {
            self.forget(&id, &mut changes);
        }
        self.evict(&mut changes);
        self.nodes.retain(|name, node| {
            let over = node.is_empty() && node.agents.silence(now.mono) > history_ttl;
            if over {
                changes.forgotten_nodes.push(name.clone());
            } else {
                node.tell(&mut changes);
            }
            !over
        });
        self.count_nodes();
        changes
    }

    fn take(
        &mut self,
        report: CheckedReport,
        now: ServerNow,
        changes: &mut Changes,
    ) -> Result<ReportAck, Refusal> {
        let CheckedReport {
            node,
            timestamp: sent,
            sequence,
            full,
            agent,
            info,
            images,
            pulls,
            ..
        } = report;
        let heard = Heard {
            node,
            sent,
            sequence,
            full,
            agent,
            runtime: info.runtime_version,
        };
        let standing = match self.judge(&heard, now)? {
            Judged::Late(ack) => return Ok(ack),
            Judged::Taken(standing) => standing,
        };
        let images = self.intern(images);
        let told = self
            .told(&heard, &images, pulls)
            .inspect_err(|_| self.all.stats.counters.reports_invalid += 1)
            .map_err(Refusal::Invalid)?;
        Ok(self.commit(&heard, standing, told, images, now, changes))
    }

    /// Who reports, and whether that is listened to.
    fn judge(&mut self, heard: &Heard, now: ServerNow) -> Result<Judged, Refusal> {
        let Limits {
            lost_after, nodes, ..
        } = self.all.limits;
        let counters = &mut self.all.stats.counters;
        let Some(node) = self.nodes.get_mut(&heard.node) else {
            if self.nodes.len() < nodes {
                return Ok(Judged::Taken(None));
            }
            counters.nodes_refused += 1;
            return Err(Refusal::TooManyNodes { most: nodes });
        };
        let standing = node.agents.judge(
            &heard.agent,
            heard.sequence,
            heard.sent,
            now.mono,
            lost_after,
        );
        match standing {
            Standing::Late { accepted } => {
                counters.reports_late += 1;
                let synced = node.synced;
                Ok(Judged::Late(self.ack(accepted, !synced)))
            }
            Standing::Refused => {
                node.agents.take(standing, heard.agent(now));
                counters.reports_conflict += 1;
                Err(Refusal::Conflict(heard.node.clone()))
            }
            Standing::Next | Standing::Restarted | Standing::OlderLives => {
                Ok(Judged::Taken(Some(standing)))
            }
        }
    }

    /// Takes a report of which all is well.
    fn commit(
        &mut self,
        heard: &Heard,
        standing: Option<Standing>,
        told: Told,
        images: Vec<Arc<Image>>,
        now: ServerNow,
        changes: &mut Changes,
    ) -> ReportAck {
        let all = &mut self.all;
        all.stats.counters.reports += 1;
        all.stats.counters.images_missing += told.missing;
        let node = self
            .nodes
            .entry(heard.node.clone())
            .or_insert_with(|| Node::new(heard, now));
        let anew = matches!(standing, Some(Standing::Restarted | Standing::OlderLives));
        if let Some(standing) = standing {
            node.agents.take(standing, heard.agent(now));
            all.stats.counters.conflicts += u64::from(standing == Standing::OlderLives);
        }
        node.hear(heard, anew, now, changes);
        let conflict = node.agents.is_conflict(now.mono, all.limits.lost_after);
        node.set_state(if conflict {
            NodeState::Conflict
        } else {
            NodeState::Live
        });
        for pull in told.pulls {
            node.take_pull(pull, now, all, changes);
        }
        node.take_images(images);
        if heard.full {
            node.give_up(|id| !told.ids.contains(id), now, all, changes);
            node.synced = true;
        }
        node.tidy(all, changes);
        let need_full = !node.synced || told.missing > 0;
        self.evict(changes);
        if let Some(node) = self.nodes.get_mut(&heard.node) {
            node.tell(changes);
        }
        self.ack(heard.sequence, need_full)
    }

    fn ack(&self, accepted_seq: u64, need_full: bool) -> ReportAck {
        ReportAck {
            server_epoch: self.epoch.clone(),
            accepted_seq,
            need_full,
            next_report_ms: None,
        }
    }

    /// The pulls of a report, with their images: those that it tells, and those told before.
    fn told(
        &self,
        heard: &Heard,
        images: &[Arc<Image>],
        pulls: Vec<CheckedPull>,
    ) -> Result<Told, ReportError> {
        let node = self.nodes.get(&heard.node);
        let images: HashMap<&Digest, &Arc<Image>> =
            images.iter().map(|image| (&image.root, image)).collect();
        let known = |root: &Digest| {
            let told = images.get(root).copied();
            told.or_else(|| node?.image(root)).cloned()
        };
        let mut told = Told {
            pulls: Vec::with_capacity(pulls.len()),
            ids: HashSet::new(),
            missing: 0,
        };
        for pull in pulls {
            if heard.full {
                told.ids.insert(pull.id().clone());
            }
            let image = pull.image().map(known);
            match image {
                Some(None) => told.missing += 1,
                Some(Some(image)) => told.pulls.push(pull.into_pull(Some(image))?),
                None => told.pulls.push(pull.into_pull(None)?),
            }
        }
        Ok(told)
    }

    /// The same images, each as the one that is kept of those that are alike. A node that tells other
    /// layers of an image than the first has its own.
    fn intern(&mut self, images: Vec<Arc<Image>>) -> Vec<Arc<Image>> {
        if self.images.len() + images.len() > self.images_most {
            self.images.retain(|_, image| image.strong_count() > 0);
            self.images_most = (self.images.len() + images.len()) * 2 + 1_024;
        }
        let one = |image: Arc<Image>| {
            let kept = self.images.get(&image.root).and_then(Weak::upgrade);
            match kept {
                Some(kept) if kept == image => kept,
                Some(_) => image,
                None => {
                    let root = image.root.clone();
                    self.images.insert(root, Arc::downgrade(&image));
                    image
                }
            }
        };
        images.into_iter().map(one).collect()
    }

    /// Keeps the history within its bounds: layers go before rows, and the oldest first.
    fn evict(&mut self, changes: &mut Changes) {
        let most = self.all.limits.ended;
        while let Some(id) = self.all.history.strip(most / 2) {
            let node = self.nodes.get_mut(id.node());
            let stripped = node.is_some_and(|node| node.strip(&id, changes));
            self.all.stats.counters.layers_evicted += u64::from(stripped);
        }
        while let Some((since, id)) = self.all.history.over(most).cloned() {
            self.all.floor = self.all.floor.max(Some(since));
            self.all.stats.counters.ended_evicted += 1;
            self.forget(&id, changes);
        }
        self.all.stats.ended = self.all.history.len() as u64;
    }

    fn forget(&mut self, id: &PullId, changes: &mut Changes) {
        if let Some(node) = self.nodes.get_mut(id.node()) {
            node.forget(id, &mut self.all, changes);
        }
    }

    fn count_nodes(&mut self) {
        let count = |state| self.nodes.values().filter(|n| n.state() == state).count() as u64;
        let stats = &mut self.all.stats;
        stats.nodes_live = count(NodeState::Live);
        stats.nodes_lost = count(NodeState::Lost);
        stats.nodes_conflict = count(NodeState::Conflict);
    }
}

#[cfg(test)]
mod tests;
