//! Which pods wait for which pulls. Everything here is a function of what was handed in.
//!
//! | file | the question |
//! |---|---|
//! | `want` | what does a slot of a pod want, and what did its kubelet say of it? |
//! | `learned` | which names was a digest seen under? |
//! | `fit` | can this pull be what brings this image? |
//! | `judge` | who waits for which pull of a node, and by what evidence? |
//! | `queue` | what was announced, and is no pull yet? |
//! | `rows` | which of those are shown, and which are over? |
//! | `view` | what does one pod wait for, and how much longer? |
//! | `heard` | what becomes of what a source says? |
//! | `node` | one node: facts, and what was found of them |
//! | `hold` | how did a pull end, once its kubelet had time to say why? |
//!
//! `docs/correlation.md` tells the rules.

mod fit;
mod heard;
mod hold;
mod judge;
mod learned;
mod node;
mod queue;
mod rows;
mod view;
mod want;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use pulltrace_core::wire::v1::NodeState;
use pulltrace_core::{ChangeKind, Mono, NodeName, Outcome, PodUid, PullId};

use self::hold::Hold;
use self::learned::Learned;
use self::node::{Context, Judged, Node};
use crate::change::{Changes, PullChange, Scope};
use crate::clock::ServerNow;
use crate::cluster::{Pod, PodUpdate, PullEventUpdate, Seen, Trouble};
use crate::fleet::ended;
use crate::limits::Limits;

pub use view::pod_status;

pub use crate::change::{CorrelateStats, ImageState, ImageView, PodView};

/// How often what nobody waits for is looked for.
const TIDY: Duration = Duration::from_secs(10);

/// Joins the pulls of nodes with pods and with what kubelets say.
///
/// It needs no server: pulls come as [`Changes`], pods and events from any source.
///
/// ```
/// use std::sync::Arc;
/// use pulltrace_core::{ChangeKind, Mono, Phase, Pull, PullId};
/// use pulltrace_server_lib::cluster::{KubeletWord, PullEvent, PullEventUpdate};
/// use pulltrace_server_lib::correlate::Correlator;
/// use pulltrace_server_lib::fleet::{Changes, Correction, PullChange, Scope};
/// use pulltrace_server_lib::{Limits, ServerNow};
///
/// let now = ServerNow { mono: Mono::default(), at: "2026-11-24T16:08:05Z".parse()? };
/// let mut correlator = Correlator::new(Limits::default());
/// let (word, image) = KubeletWord::of("Pulling", r#"Pulling image "registry.test/app:1""#).unwrap();
/// let pod = pulltrace_core::PodRef {
///     namespace: "shop".parse()?,
///     name: "web".parse()?,
///     uid: "f7d35e9a".parse()?,
/// };
/// correlator.event(PullEventUpdate::Applied(PullEvent {
///     name: "web.1".into(),
///     pod,
///     node: "w1".parse()?,
///     slot: Some("app".parse()?),
///     image,
///     first: "2026-11-24T16:08:04Z".parse()?,
///     last: "2026-11-24T16:08:04Z".parse()?,
///     count: 1,
///     word,
/// }), now);
///
/// let created = "2026-11-24T16:08:04.5Z".parse()?;
/// let id: PullId = format!("lease~w1~k8s.io~1-a~{}", 1_795_536_484_500_000_000_i64).parse()?;
/// let change = PullChange::new(ChangeKind::Started, Arc::new(Pull::new(id, Phase::Resolving, created)));
/// let mut changes = Changes::default();
/// changes.pulls.push(change);
/// let changes = correlator.pulls(changes, now);
/// let links = changes.pulls[0].links.as_ref().unwrap();
/// assert_eq!(links.pods[0].0.pod.to_string(), "shop/web");
/// assert_eq!(links.pods[0].1.as_str(), "event");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Correlator {
    limits: Limits,
    nodes: BTreeMap<NodeName, Node>,
    /// The node of each pod of which something is kept.
    pods: HashMap<PodUid, NodeName>,
    learned: Learned,
    listening: Listening,
    /// The pods that were said since the last `Reset`, until `Done`.
    listed: Option<HashSet<PodUid>>,
    hold: Hold,
    stats: CorrelateStats,
    tidied: Mono,
}

/// Whether anything is heard of the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Listening {
    /// Of pods.
    pub pods: Heard,
    /// Of what kubelets say.
    pub events: Heard,
}

/// Whether anything is heard of a source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Heard {
    /// There is none, or it has not said anything yet.
    #[default]
    Nothing,
    /// It says what there is.
    Listing,
    /// It says what changes.
    Live,
    /// It has trouble, and tries again.
    Trouble(Trouble),
}

impl Heard {
    /// Whether what it knows is whole and new.
    #[must_use]
    pub const fn is_live(&self) -> bool {
        matches!(self, Self::Live)
    }
}

impl Correlator {
    /// One that knows nothing yet.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            nodes: BTreeMap::new(),
            pods: HashMap::new(),
            learned: Learned::default(),
            listening: Listening::default(),
            listed: None,
            hold: Hold::default(),
            stats: CorrelateStats::default(),
            tidied: Mono::default(),
        }
    }

    /// What there is, and what was counted.
    #[must_use]
    pub const fn stats(&self) -> &CorrelateStats {
        &self.stats
    }

    /// Whether anything is heard of the cluster.
    #[must_use]
    pub const fn listening(&self) -> &Listening {
        &self.listening
    }

    /// Takes what changed of pulls, and gives it back with what is known of their pods; with it whatever
    /// else changes by it.
    pub fn pulls(&mut self, mut changes: Changes, now: ServerNow) -> Changes {
        let mut dirty = BTreeSet::new();
        for view in &changes.nodes {
            let node = self.nodes.entry(view.name.clone()).or_default();
            let seen = view.state != NodeState::Lost;
            if node.seen != seen {
                node.seen = seen;
                dirty.insert(view.name.clone());
            }
            node.offset_ms = view.clock_offset_ms.unwrap_or(node.offset_ms);
        }
        for name in &changes.forgotten_nodes {
            if let Some(node) = self.nodes.get_mut(name) {
                node.seen = false;
                dirty.insert(name.clone());
            }
        }
        let mut learned = Vec::new();
        for change in &changes.pulls {
            let name = change.pull.id.node();
            let node = self.nodes.entry(name.clone()).or_default();
            node.correction = change.correction;
            if change.kind != ChangeKind::Progressed || change.scope == Scope::Whole {
                dirty.insert(name.clone());
            }
            if change.pull.outcome() == Some(Outcome::Completed) {
                learned.push(Arc::clone(&change.pull));
            }
            node.take(change, now.mono);
        }
        for id in &changes.forgotten {
            if let Some(node) = self.nodes.get_mut(id.node()) {
                node.pulls.remove(id);
            }
        }
        for pull in learned {
            self.learn(&pull, &mut dirty);
        }
        let live = self.listening.events.is_live();
        self.hold.take(&mut changes.ended, live, now.mono);
        self.finish(changes, dirty, now)
    }

    /// Takes what a source of pods says.
    pub fn pod(&mut self, update: PodUpdate, now: ServerNow) -> Changes {
        let mut dirty = BTreeSet::new();
        match update {
            PodUpdate::Reset => {
                self.listening.pods = Heard::Listing;
                self.listed = Some(HashSet::new());
            }
            PodUpdate::Init(pod) => {
                if let Some(listed) = &mut self.listed
                    && (self.pods.contains_key(&pod.pod.uid) || pod.is_waiting())
                {
                    listed.insert(pod.pod.uid.clone());
                }
                self.take_pod(pod, now, &mut dirty);
            }
            PodUpdate::Applied(pod) => self.take_pod(pod, now, &mut dirty),
            PodUpdate::Done => {
                self.listening.pods = Heard::Live;
                if let Some(listed) = self.listed.take() {
                    let gone = self.pods.keys().filter(|uid| !listed.contains(*uid));
                    let gone: Vec<PodUid> = gone.cloned().collect();
                    for uid in gone {
                        self.lose_pod(&uid, true, now, &mut dirty);
                    }
                }
            }
            PodUpdate::Deleted(uid) => self.lose_pod(&uid, false, now, &mut dirty),
            PodUpdate::Odd => self.stats.pods_odd += 1,
            PodUpdate::Trouble(trouble) => {
                self.listening.pods = Heard::Trouble(trouble);
            }
        }
        self.finish(Changes::default(), dirty, now)
    }

    /// Takes what a source of kubelets' events says.
    pub fn event(&mut self, update: PullEventUpdate, now: ServerNow) -> Changes {
        let mut dirty = BTreeSet::new();
        match update {
            PullEventUpdate::Reset => self.listening.events = Heard::Listing,
            PullEventUpdate::Done => self.listening.events = Heard::Live,
            PullEventUpdate::Init(event) => self.take_event(&event, false, now, &mut dirty),
            PullEventUpdate::Applied(event) => self.take_event(&event, true, now, &mut dirty),
            PullEventUpdate::Odd => self.stats.events_odd += 1,
            PullEventUpdate::Trouble(trouble) => {
                self.listening.events = Heard::Trouble(trouble);
            }
        }
        self.finish(Changes::default(), dirty, now)
    }

    /// Lets time pass. To be called about each second.
    pub fn expire(&mut self, now: ServerNow) -> Changes {
        let timed = self
            .nodes
            .iter()
            .filter(|(_, node)| node.is_timed(now.mono));
        let mut dirty: BTreeSet<NodeName> = timed.map(|(name, _)| name.clone()).collect();
        if now.mono.since(self.tidied) >= TIDY {
            self.tidied = now.mono;
            let ttl = self.limits.history_ttl;
            for (name, node) in &mut self.nodes {
                if node.forget(now.mono, ttl) {
                    // It is counted anew when it is judged.
                    dirty.insert(name.clone());
                }
            }
            let nodes = &self.nodes;
            self.pods.retain(|uid, name| {
                nodes
                    .get(name)
                    .is_some_and(|node| node.wants_of(uid).next().is_some())
            });
        }
        let changes = self.finish(Changes::default(), dirty, now);
        self.nodes.retain(|_, node| !node.is_empty());
        changes
    }

    /// Judges the nodes of which something changed, and adds what that changes.
    fn finish(
        &mut self,
        mut changes: Changes,
        dirty: BTreeSet<NodeName>,
        now: ServerNow,
    ) -> Changes {
        let context = Context {
            learned: &self.learned,
            now,
            ttl: self.limits.history_ttl,
            pods: self.listening.pods.is_live(),
        };
        let mut judged: BTreeMap<NodeName, Judged> = BTreeMap::new();
        for name in dirty {
            if let Some(node) = self.nodes.get_mut(&name) {
                let found = node.judge(&name, context);
                node.count(&mut self.stats);
                self.stats.kubelet_agrees += found.agrees;
                self.stats.kubelet_disagrees += found.disagrees;
                judged.insert(name, found);
            }
        }
        // What the fleet says, as it is shown.
        let mut said: HashSet<PullId> = HashSet::new();
        for change in &mut changes.pulls {
            let id = &change.pull.id;
            let Some(node) = self.nodes.get(id.node()) else {
                continue;
            };
            let Some(known) = node.pulls.get(id) else {
                continue;
            };
            let news = judged.get(id.node());
            if news.is_some_and(|judged| judged.pulls.contains(id)) {
                change.scope = Scope::Whole;
                said.insert(id.clone());
            }
            change.pull = Arc::clone(&known.shown);
            change.links.clone_from(&known.links);
        }
        for (name, found) in judged {
            if let Some(node) = self.nodes.get(&name) {
                let over = found
                    .rows
                    .iter()
                    .filter(|(_, kind)| **kind == ChangeKind::Ended);
                for (id, _) in over {
                    let end = node.rows.get(id).and_then(|(pull, _)| ended(pull));
                    end.into_iter()
                        .for_each(|end| self.hold.wait(end, now.mono));
                }
                add(node, found, &said, &mut changes);
            }
        }
        let nodes = &self.nodes;
        let known = |id: &PullId| nodes.get(id.node())?.shown(id);
        self.hold.release(&known, &mut changes.ended, now.mono);
        changes
    }
}

/// What a judgement changed, as changes.
fn add(node: &Node, found: Judged, said: &HashSet<PullId>, changes: &mut Changes) {
    let Judged {
        pulls,
        rows,
        gone,
        pods,
        gone_pods,
        ..
    } = found;
    for id in pulls.iter().filter(|id| !said.contains(*id)) {
        if let Some(known) = node.pulls.get(id) {
            changes.pulls.push(PullChange {
                correction: node.correction,
                links: known.links.clone(),
                ..PullChange::new(ChangeKind::Progressed, Arc::clone(&known.shown))
            });
        }
    }
    for (id, kind) in rows {
        if let Some((pull, links)) = node.rows.get(&id) {
            changes.pulls.push(PullChange {
                correction: node.correction,
                links: Some(Arc::clone(links)),
                ..PullChange::new(kind, Arc::clone(pull))
            });
        }
    }
    changes.forgotten.extend(gone);
    changes.pods.extend(pods);
    changes.forgotten_pods.extend(gone_pods);
}

impl Pod {
    /// Whether one of its images may not be there yet.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        let waits = |state: &Seen| matches!(state, Seen::Waiting { .. });
        self.images.iter().any(|image| waits(&image.state))
    }
}

#[cfg(test)]
mod tests;
