//! One node: its pulls as they are shown, and what is needed to follow its agent.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use pulltrace_core::wire::v1::NodeState;
use pulltrace_core::{Bytes, ChangeKind, Digest, Image, NodeName, NodeTime, Pull, PullId};

use super::agents::{Agents, Heard};
use super::correction::Offset;
use super::count::{self, Blobs};
use super::history::{End, History};
use super::merge::{self, Merged, merge};
use super::v0::Meters;
use crate::change::{Changes, Downloaded, LiveSums, NodeView, PullChange, Scope, Stats, shift};
use crate::clock::ServerNow;
use crate::limits::Limits;

/// How much later than it was told a node must be heard to be told again, where nothing but sums and
/// times changed: less than from one heartbeat to the next, so that each is told.
const STEP: Duration = Duration::from_millis(1_500);

/// What a step of one node needs of the whole.
#[derive(Debug)]
pub(super) struct Whole {
    pub(super) limits: Limits,
    /// When this server started.
    pub(super) started: NodeTime,
    pub(super) history: History,
    /// What ended before this, and is not known any more, went because there was too much.
    pub(super) floor: Option<NodeTime>,
    pub(super) stats: Stats,
}

#[derive(Debug)]
pub(super) struct Node {
    name: NodeName,
    pub(super) agents: Agents,
    offset: Offset,
    /// Whether a full report was taken since the last time that something may have been missed.
    pub(super) synced: bool,
    state: NodeState,
    /// When the last report was sent, by the node's clock, and heard, by the server's.
    sent: NodeTime,
    heard: NodeTime,
    agent_version: Arc<str>,
    runtime_version: Option<Arc<str>>,
    pulls: BTreeMap<PullId, Entry>,
    live: usize,
    ended: BTreeSet<End>,
    floor: Option<NodeTime>,
    images: HashMap<Digest, Arc<Image>>,
    /// With so many images it is time to look which are still named.
    images_most: usize,
    blobs: Blobs,
    /// Whether pulls ended since it was last looked which of its blobs are still fetched.
    some_ended: bool,
    /// How fast the ingests come that an agent of version 0.1 tells of.
    pub(super) meters: Meters,
    /// When it was heard as readers were told last; `None` where what changed since must not wait.
    told: Option<NodeTime>,
}

#[derive(Debug)]
struct Entry {
    shown: Arc<Pull>,
    /// What its agent said, while the node is lost.
    told: Option<Arc<Pull>>,
    /// When it ended, by the server's clock.
    since: Option<NodeTime>,
    /// Whether it lost its layers.
    bare: bool,
}

impl Node {
    /// A node of which nothing is known but who reports.
    pub(super) fn new(heard: &Heard, now: ServerNow) -> Self {
        Self {
            name: heard.node.clone(),
            agents: Agents::new(heard.agent(now)),
            offset: Offset::new(millis_between(heard.sent, now.at), now.mono),
            synced: false,
            state: NodeState::Live,
            sent: heard.sent,
            heard: now.at,
            agent_version: "".into(),
            runtime_version: None,
            pulls: BTreeMap::new(),
            live: 0,
            ended: BTreeSet::new(),
            floor: None,
            images: HashMap::new(),
            images_most: 64,
            blobs: Blobs::default(),
            some_ended: false,
            meters: Meters::new(),
            told: None,
        }
    }

    pub(super) const fn state(&self) -> NodeState {
        self.state
    }

    pub(super) fn image(&self, root: &Digest) -> Option<&Arc<Image>> {
        self.images.get(root)
    }

    /// Takes who reports and when. A new agent may have another clock.
    pub(super) fn hear(
        &mut self,
        heard: &Heard,
        anew: bool,
        now: ServerNow,
        changes: &mut Changes,
    ) {
        let difference = millis_between(heard.sent, now.at);
        let (before, millis) = (self.offset.correction(), self.offset.millis());
        if anew {
            self.offset = Offset::new(difference, now.mono);
            self.synced = false;
        } else {
            self.offset.take(difference, now.mono);
        }
        (self.sent, self.heard) = (heard.sent, now.at);
        let runtime = heard.runtime.as_deref();
        if *self.agent_version != *heard.agent.version || self.runtime_version.as_deref() != runtime
        {
            self.agent_version = heard.agent.version.as_str().into();
            self.runtime_version = runtime.map(Into::into);
            self.told = None;
        }
        if self.offset.millis() != millis {
            self.told = None;
        }
        if self.state == NodeState::Lost {
            self.find(changes);
        }
        if self.offset.correction() != before {
            for entry in self.pulls.values() {
                changes.pulls.push(PullChange {
                    kind: ChangeKind::Progressed,
                    pull: Arc::clone(&entry.shown),
                    correction: self.offset.correction(),
                    scope: Scope::Whole,
                    links: None,
                });
            }
        }
    }

    pub(super) fn take_images(&mut self, images: Vec<Arc<Image>>) {
        for image in images {
            self.images.insert(image.root.clone(), image);
        }
        if self.images.len() > self.images_most {
            let shown = self.pulls.values().map(|entry| &entry.shown);
            let named: HashSet<&Digest> = shown
                .filter_map(|pull| pull.image.as_ref().map(|image| &image.root))
                .collect();
            self.images.retain(|root, _| named.contains(root));
            self.images_most = self.images.len() * 2 + 64;
        }
    }

    /// Takes a pull as it is told.
    pub(super) fn take_pull(
        &mut self,
        told: Pull,
        now: ServerNow,
        all: &mut Whole,
        changes: &mut Changes,
    ) {
        let Some(entry) = self.pulls.get(&told.id) else {
            return self.take_new(told, now, all, changes);
        };
        if entry.bare && entry.shown.outcome() == told.outcome() {
            return;
        }
        let before = Arc::clone(&entry.shown);
        let Some(merged) = merge(&before, told, &mut all.stats.counters) else {
            return;
        };
        if merged.kind == ChangeKind::Started && self.is_full(all) {
            return;
        }
        let grown = self.blobs.grown(Some(&before), &merged.pull);
        count_bytes(grown, &merged.pull, changes);
        self.put(merged, now, all, changes);
    }

    fn take_new(&mut self, told: Pull, now: ServerNow, all: &mut Whole, changes: &mut Changes) {
        let kind = if let Some(ended_at) = told.ended_at {
            let since = self.server_time(ended_at, now);
            if now.at.since(since) > all.limits.history_ttl {
                return;
            }
            if Some(since) <= self.floor.max(all.floor) {
                all.stats.counters.ended_evicted += 1;
                return;
            }
            ChangeKind::Ended
        } else {
            if self.is_full(all) {
                return;
            }
            ChangeKind::Started
        };
        // What came before this server's time was counted by the one before it, or by nobody.
        let grown = self.blobs.grown(None, &told);
        if self.server_time(told.started_at, now) >= all.started {
            count_bytes(grown, &told, changes);
        }
        let scope = Scope::Whole;
        let pull = told;
        self.put(Merged { pull, kind, scope }, now, all, changes);
    }

    /// Whether one more live pull is too many.
    fn is_full(&self, all: &mut Whole) -> bool {
        let live = usize::try_from(all.stats.live.sum()).unwrap_or(usize::MAX);
        let full = self.live >= all.limits.live_per_node || live >= all.limits.live;
        all.stats.counters.live_refused += u64::from(full);
        full
    }

    /// Shows a pull as it is now.
    fn put(&mut self, merged: Merged, now: ServerNow, all: &mut Whole, changes: &mut Changes) {
        let Merged { pull, kind, scope } = merged;
        // Of an end that is news here the age is that of the news: nobody must miss it.
        let since = pull
            .ended_at
            .map(|at| match (self.pulls.get(&pull.id), kind) {
                (None, _) => self.server_time(at, now),
                (Some(_), ChangeKind::Ended) => now.at,
                (Some(before), _) => before.since.unwrap_or(now.at),
            });
        let pull = Arc::new(pull);
        let entry = Entry {
            shown: Arc::clone(&pull),
            told: None,
            since,
            bare: false,
        };
        let before = self.pulls.insert(pull.id.clone(), entry);
        let first = before.is_none();
        if let Some(before) = before {
            self.uncount(&before, &pull.id, all);
        }
        self.count(&pull, since, all);
        self.some_ended |= since.is_some();
        if kind == ChangeKind::Ended && (!first || since >= Some(all.started)) {
            changes.ended.extend(count::ended(&pull));
        }
        changes.pulls.push(PullChange {
            kind,
            pull,
            correction: self.offset.correction(),
            scope,
            links: None,
        });
        if kind != ChangeKind::Progressed {
            self.told = None;
        }
    }

    fn count(&mut self, pull: &Arc<Pull>, since: Option<NodeTime>, all: &mut Whole) {
        if let Some(since) = since {
            let end = (since, pull.id.clone());
            all.history.insert(end.clone());
            self.ended.insert(end);
        } else {
            self.live += 1;
            all.stats.live.add(pull.phase, 1);
            let stalled = u64::from(pull.stalled_since.is_some());
            all.stats.stalled.add(pull.phase, stalled);
        }
    }

    fn uncount(&mut self, entry: &Entry, id: &PullId, all: &mut Whole) {
        let pull = &entry.shown;
        if let Some(since) = entry.since {
            let end = (since, id.clone());
            all.history.remove(&end);
            self.ended.remove(&end);
        } else {
            self.live -= 1;
            all.stats.live.remove(pull.phase, 1);
            let stalled = u64::from(pull.stalled_since.is_some());
            all.stats.stalled.remove(pull.phase, stalled);
        }
    }

    /// Ends the live pulls for which `over` holds: there is no evidence of how.
    pub(super) fn give_up(
        &mut self,
        over: impl Fn(&PullId) -> bool,
        now: ServerNow,
        all: &mut Whole,
        changes: &mut Changes,
    ) {
        let at = shift(now.at, self.offset.millis().saturating_neg());
        let live = self.live().filter(|pull| over(&pull.id));
        let over: Vec<Arc<Pull>> = live.cloned().collect();
        for pull in over {
            let pull = merge::given_up(&pull, at);
            let (kind, scope) = (ChangeKind::Ended, Scope::Whole);
            self.put(Merged { pull, kind, scope }, now, all, changes);
        }
    }

    /// Says of each live pull that nobody sees it.
    pub(super) fn lose(&mut self, all: &mut Whole, changes: &mut Changes) {
        all.stats.counters.nodes_lost += 1;
        self.set_state(NodeState::Lost);
        let correction = self.offset.correction();
        for entry in self.pulls.values_mut().filter(|e| e.since.is_none()) {
            let stale = Arc::new(merge::stale(&entry.shown, self.sent));
            entry.told = Some(std::mem::replace(&mut entry.shown, Arc::clone(&stale)));
            changes.pulls.push(PullChange {
                kind: ChangeKind::Progressed,
                pull: stale,
                correction,
                scope: Scope::Whole,
                links: None,
            });
        }
    }

    /// Shows each live pull as its agent told it: it is seen again.
    fn find(&mut self, changes: &mut Changes) {
        self.set_state(NodeState::Live);
        let correction = self.offset.correction();
        for entry in self.pulls.values_mut() {
            if let Some(told) = entry.told.take() {
                entry.shown = Arc::clone(&told);
                changes.pulls.push(PullChange {
                    kind: ChangeKind::Progressed,
                    pull: told,
                    correction,
                    scope: Scope::Whole,
                    links: None,
                });
            }
        }
    }

    pub(super) fn set_state(&mut self, state: NodeState) {
        if self.state != state {
            self.state = state;
            self.told = None;
        }
    }

    /// Takes its layers from an ended pull.
    pub(super) fn strip(&mut self, id: &PullId, changes: &mut Changes) -> bool {
        let correction = self.offset.correction();
        let Some(entry) = self.pulls.get_mut(id) else {
            return false;
        };
        entry.bare = true;
        if entry.shown.layers.is_empty() {
            return false;
        }
        entry.shown = Arc::new(merge::bare(&entry.shown));
        changes.pulls.push(PullChange {
            kind: ChangeKind::Progressed,
            pull: Arc::clone(&entry.shown),
            correction,
            scope: Scope::Whole,
            links: None,
        });
        true
    }

    /// Forgets a pull.
    pub(super) fn forget(&mut self, id: &PullId, all: &mut Whole, changes: &mut Changes) {
        if let Some(entry) = self.pulls.remove(id) {
            self.uncount(&entry, id, all);
            changes.forgotten.push(id.clone());
            self.told = None;
        }
    }

    /// Forgets the oldest ended pulls of too many, and what is only needed while pulls live.
    pub(super) fn tidy(&mut self, all: &mut Whole, changes: &mut Changes) {
        while self.ended.len() > all.limits.ended_per_node
            && let Some((since, id)) = self.ended.first().cloned()
        {
            self.floor = self.floor.max(Some(since));
            all.stats.counters.ended_evicted += 1;
            self.forget(&id, all, changes);
        }
        if std::mem::take(&mut self.some_ended) {
            self.blobs.keep(live(&self.pulls));
        }
    }

    /// Its live pulls.
    pub(super) fn live(&self) -> impl Iterator<Item = &Arc<Pull>> {
        live(&self.pulls)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pulls.is_empty()
    }

    /// Tells readers of the node, where there is something to tell.
    pub(super) fn tell(&mut self, changes: &mut Changes) {
        let news = self
            .told
            .is_none_or(|heard| self.heard.since(heard) >= STEP);
        if !news {
            return;
        }
        self.told = Some(self.heard);
        changes.nodes.push(NodeView {
            name: self.name.clone(),
            state: self.state,
            last_report_at: self.heard,
            agent_version: Some(Arc::clone(&self.agent_version)).filter(|v| !v.is_empty()),
            runtime_version: self.runtime_version.clone(),
            clock_offset_ms: Some(self.offset.millis()),
            live: LiveSums::of(self.live()),
            ended: self.ended.len(),
        });
    }

    /// A time of the node by the server's clock, and not after now.
    fn server_time(&self, at: NodeTime, now: ServerNow) -> NodeTime {
        shift(at, self.offset.millis()).min(now.at)
    }
}

fn count_bytes((bytes, restarts): (Bytes, u64), pull: &Pull, changes: &mut Changes) {
    if bytes == Bytes::ZERO && restarts == 0 {
        return;
    }
    let registry = merge::registry(pull);
    match changes
        .downloaded
        .iter_mut()
        .find(|known| known.registry == registry)
    {
        Some(known) => {
            known.bytes += bytes;
            known.restarts += restarts;
        }
        None => changes.downloaded.push(Downloaded {
            registry,
            bytes,
            restarts,
        }),
    }
}

/// Those that live.
fn live(pulls: &BTreeMap<PullId, Entry>) -> impl Iterator<Item = &Arc<Pull>> {
    let live = pulls.values().filter(|entry| entry.since.is_none());
    live.map(|entry| &entry.shown)
}

/// How many milliseconds `later` is after `earlier`, by two clocks: less than none where it is before.
fn millis_between(earlier: NodeTime, later: NodeTime) -> i64 {
    later.unix_nanos().saturating_sub(earlier.unix_nanos()) / 1_000_000
}
