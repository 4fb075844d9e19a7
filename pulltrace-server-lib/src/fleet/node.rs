//! One node: its pulls as shown, and the state of its agent.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use pulltrace_core::wire::v1::NodeState;
use pulltrace_core::{ChangeKind, Digest, Image, NodeName, NodeTime, Pull, PullId};

use super::agents::NodeAgents;
use super::correction::ClockOffset;
use super::count::{self, BlobProgress};
use super::history::EndedKey;
use super::merge::{self, MergedPull, merge};
use super::report::{RateMeters, ReportHeader};
use super::state::{FleetState, FleetStep};
use crate::change::{LiveTotals, NodeView, PullChange, Scope, shift};
use crate::clock::ServerNow;

/// Minimum time since the last published report if only totals and times changed. Shorter than the
/// interval of heartbeats, so that each is published.
const MIN_VIEW_INTERVAL: Duration = Duration::from_millis(1_500);

#[derive(Debug)]
pub(super) struct Node {
    name: NodeName,
    pub(super) agents: NodeAgents,
    offset: ClockOffset,
    /// Set by a full report, cleared when reports may have been missed.
    pub(super) synced: bool,
    state: NodeState,
    /// When the last report was sent, by the node's clock, and received, by the server's.
    last_sent_at: NodeTime,
    last_report_at: NodeTime,
    agent_version: Arc<str>,
    runtime_version: Option<Arc<str>>,
    pulls: BTreeMap<PullId, PullEntry>,
    live_count: usize,
    ended: BTreeSet<EndedKey>,
    eviction_floor: Option<NodeTime>,
    images: HashMap<Digest, Arc<Image>>,
    /// Number of images at which unused ones are removed.
    image_prune_at: usize,
    blobs: BlobProgress,
    /// Set when a pull has ended since blobs were last pruned.
    blobs_outdated: bool,
    pub(super) rate_meters: RateMeters,
    /// Time of the report that was last published; `None` if a change must be published
    /// immediately.
    last_published: Option<NodeTime>,
}

#[derive(Debug)]
struct PullEntry {
    shown: Arc<Pull>,
    /// The pull as reported by its agent, while the node is lost.
    reported: Option<Arc<Pull>>,
    /// When it ended, by the server's clock.
    ended_at_server: Option<NodeTime>,
    /// Set when its layers were dropped.
    layers_dropped: bool,
}

impl Node {
    /// Creates a node from the header of its first report.
    pub(super) fn new(header: &ReportHeader, now: ServerNow) -> Self {
        Self {
            name: header.node.clone(),
            agents: NodeAgents::new(header.to_agent(now)),
            offset: ClockOffset::new(millis_between(header.sent_at, now.at), now.mono),
            synced: false,
            state: NodeState::Live,
            last_sent_at: header.sent_at,
            last_report_at: now.at,
            agent_version: "".into(),
            runtime_version: None,
            pulls: BTreeMap::new(),
            live_count: 0,
            ended: BTreeSet::new(),
            eviction_floor: None,
            images: HashMap::new(),
            image_prune_at: 64,
            blobs: BlobProgress::default(),
            blobs_outdated: false,
            rate_meters: RateMeters::new(),
            last_published: None,
        }
    }

    pub(super) const fn state(&self) -> NodeState {
        self.state
    }

    pub(super) fn image(&self, root: &Digest) -> Option<&Arc<Image>> {
        self.images.get(root)
    }

    /// Records the header of a report. A new agent may have a different clock.
    pub(super) fn record_report(
        &mut self,
        header: &ReportHeader,
        agent_changed: bool,
        update: &mut FleetStep<'_>,
    ) {
        let now = update.now;
        let difference = millis_between(header.sent_at, now.at);
        let (before, millis) = (self.offset.correction(), self.offset.millis());
        if agent_changed {
            self.offset = ClockOffset::new(difference, now.mono);
            self.synced = false;
        } else {
            self.offset.sample(difference, now.mono);
        }
        (self.last_sent_at, self.last_report_at) = (header.sent_at, now.at);
        let runtime = header.runtime_version.as_deref();
        if *self.agent_version != *header.agent.version
            || self.runtime_version.as_deref() != runtime
        {
            self.agent_version = header.agent.version.as_str().into();
            self.runtime_version = runtime.map(Into::into);
            self.last_published = None;
        }
        if self.offset.millis() != millis {
            self.last_published = None;
        }
        if self.state == NodeState::Lost {
            self.restore_live(update);
        }
        if self.offset.correction() != before {
            for entry in self.pulls.values() {
                update.push_progress(Arc::clone(&entry.shown), self.offset.correction());
            }
        }
    }

    pub(super) fn store_images(&mut self, images: Vec<Arc<Image>>) {
        for image in images {
            self.images.insert(image.root.clone(), image);
        }
        if self.images.len() > self.image_prune_at {
            let shown = self.pulls.values().map(|entry| &entry.shown);
            let named: HashSet<&Digest> =
                shown.filter_map(|pull| pull.image.as_ref().map(|image| &image.root)).collect();
            self.images.retain(|root, _| named.contains(root));
            self.image_prune_at = self.images.len() * 2 + 64;
        }
    }

    /// Applies a reported pull.
    pub(super) fn apply_pull(&mut self, reported: Pull, update: &mut FleetStep<'_>) {
        let Some(entry) = self.pulls.get(&reported.id) else {
            return self.insert_new(reported, update);
        };
        if entry.layers_dropped && entry.shown.outcome() == reported.outcome() {
            return;
        }
        let before = Arc::clone(&entry.shown);
        let Some(merged) = merge(&before, reported, &mut update.fleet.stats.counters) else {
            return;
        };
        if merged.kind == ChangeKind::Started && self.refuse_if_full(update.fleet) {
            return;
        }
        if let Some(grown) = self.blobs.record(Some(&before), &merged.pull) {
            update.add_downloaded(grown);
        }
        self.store(merged, update);
    }

    fn insert_new(&mut self, reported: Pull, update: &mut FleetStep<'_>) {
        let kind = if let Some(ended_at) = reported.ended_at {
            let since = self.server_time(ended_at, update.now);
            if update.now.at.since(since) > update.fleet.limits.history_ttl {
                return;
            }
            if Some(since) <= self.eviction_floor.max(update.fleet.eviction_floor) {
                update.fleet.stats.counters.ended_evicted += 1;
                return;
            }
            ChangeKind::Ended
        } else {
            if self.refuse_if_full(update.fleet) {
                return;
            }
            ChangeKind::Started
        };
        // Earlier bytes were counted by the previous server, if at all.
        let grown = self.blobs.record(None, &reported);
        if self.server_time(reported.started_at, update.now) >= update.fleet.started
            && let Some(grown) = grown
        {
            update.add_downloaded(grown);
        }
        self.store(MergedPull { pull: reported, kind, scope: Scope::Full }, update);
    }

    /// Reports whether the limit of live pulls is reached, and counts a refusal if so.
    fn refuse_if_full(&self, fleet: &mut FleetState) -> bool {
        let live = usize::try_from(fleet.stats.live.sum()).unwrap_or(usize::MAX);
        let full = self.live_count >= fleet.limits.live_per_node || live >= fleet.limits.live;
        fleet.stats.counters.live_refused += u64::from(full);
        full
    }

    /// Stores the new version of a pull.
    fn store(&mut self, merged: MergedPull, update: &mut FleetStep<'_>) {
        let MergedPull { pull, kind, scope } = merged;
        // A pull whose end is reported late is timestamped now, so that every reader still sees it
        // end.
        let since = pull.ended_at.map(|at| match (self.pulls.get(&pull.id), kind) {
            (None, _) => self.server_time(at, update.now),
            (Some(_), ChangeKind::Ended) => update.now.at,
            (Some(before), _) => before.ended_at_server.unwrap_or(update.now.at),
        });
        let pull = Arc::new(pull);
        let entry = PullEntry {
            shown: Arc::clone(&pull),
            reported: None,
            ended_at_server: since,
            layers_dropped: false,
        };
        let before = self.pulls.insert(pull.id.clone(), entry);
        let first = before.is_none();
        if let Some(before) = before {
            self.remove_from_totals(&before, &pull.id, update.fleet);
        }
        self.add_to_totals(&pull, since, update.fleet);
        self.blobs_outdated |= since.is_some();
        if kind == ChangeKind::Ended && (!first || since >= Some(update.fleet.started)) {
            update.changes.ended.extend(count::ended_pull(&pull));
        }
        update.changes.pulls.push(PullChange {
            correction: self.offset.correction(),
            scope,
            ..PullChange::new(kind, pull)
        });
        if kind != ChangeKind::Progressed {
            self.last_published = None;
        }
    }

    fn add_to_totals(&mut self, pull: &Arc<Pull>, since: Option<NodeTime>, fleet: &mut FleetState) {
        if let Some(since) = since {
            let end = (since, pull.id.clone());
            fleet.history.insert(end.clone());
            self.ended.insert(end);
        } else {
            self.live_count += 1;
            fleet.stats.live.add(pull.phase, 1);
            let stalled = u64::from(pull.stalled_since.is_some());
            fleet.stats.stalled.add(pull.phase, stalled);
        }
    }

    fn remove_from_totals(&mut self, entry: &PullEntry, id: &PullId, fleet: &mut FleetState) {
        let pull = &entry.shown;
        if let Some(since) = entry.ended_at_server {
            let end = (since, id.clone());
            fleet.history.remove(&end);
            self.ended.remove(&end);
        } else {
            self.live_count -= 1;
            fleet.stats.live.remove(pull.phase, 1);
            let stalled = u64::from(pull.stalled_since.is_some());
            fleet.stats.stalled.remove(pull.phase, stalled);
        }
    }

    /// Ends the live pulls that match, with an unknown outcome.
    pub(super) fn end_as_unknown(
        &mut self,
        is_gone: impl Fn(&PullId) -> bool,
        update: &mut FleetStep<'_>,
    ) {
        let at = shift(update.now.at, self.offset.millis().saturating_neg());
        let live = self.live_pulls().filter(|pull| is_gone(&pull.id));
        let gone: Vec<Arc<Pull>> = live.cloned().collect();
        for pull in gone {
            let pull = merge::ended_unknown(&pull, at);
            self.store(MergedPull { pull, kind: ChangeKind::Ended, scope: Scope::Full }, update);
        }
    }

    /// Marks the node as lost and its live pulls as stale.
    pub(super) fn mark_lost(&mut self, update: &mut FleetStep<'_>) {
        update.fleet.stats.counters.nodes_lost += 1;
        self.set_state(NodeState::Lost);
        let correction = self.offset.correction();
        for entry in self.pulls.values_mut().filter(|e| e.ended_at_server.is_none()) {
            let stale = Arc::new(merge::as_stale(&entry.shown, self.last_sent_at));
            entry.reported = Some(std::mem::replace(&mut entry.shown, Arc::clone(&stale)));
            update.push_progress(stale, correction);
        }
    }

    /// Marks the node as live and shows its live pulls as reported.
    fn restore_live(&mut self, update: &mut FleetStep<'_>) {
        self.set_state(NodeState::Live);
        let correction = self.offset.correction();
        for entry in self.pulls.values_mut() {
            if let Some(reported) = entry.reported.take() {
                entry.shown = Arc::clone(&reported);
                update.push_progress(reported, correction);
            }
        }
    }

    pub(super) fn set_state(&mut self, state: NodeState) {
        if self.state != state {
            self.state = state;
            self.last_published = None;
        }
    }

    /// Drops the layers of an ended pull. Returns whether it had any.
    pub(super) fn drop_layers(&mut self, id: &PullId, update: &mut FleetStep<'_>) -> bool {
        let correction = self.offset.correction();
        let Some(entry) = self.pulls.get_mut(id) else {
            return false;
        };
        entry.layers_dropped = true;
        if entry.shown.layers.is_empty() {
            return false;
        }
        entry.shown = Arc::new(merge::without_layers(&entry.shown));
        update.push_progress(Arc::clone(&entry.shown), correction);
        true
    }

    /// Removes a pull.
    pub(super) fn remove_pull(&mut self, id: &PullId, update: &mut FleetStep<'_>) {
        if let Some(entry) = self.pulls.remove(id) {
            self.remove_from_totals(&entry, id, update.fleet);
            update.changes.removed_pulls.push(id.clone());
            self.last_published = None;
        }
    }

    /// Evicts the oldest ended pulls beyond the limit, and data that only live pulls need.
    pub(super) fn prune(&mut self, update: &mut FleetStep<'_>) {
        while self.ended.len() > update.fleet.limits.ended_per_node
            && let Some((since, id)) = self.ended.first().cloned()
        {
            self.eviction_floor = self.eviction_floor.max(Some(since));
            update.fleet.stats.counters.ended_evicted += 1;
            self.remove_pull(&id, update);
        }
        if std::mem::take(&mut self.blobs_outdated) {
            self.blobs.retain_live(live_entries(&self.pulls));
        }
    }

    /// Returns the live pulls.
    pub(super) fn live_pulls(&self) -> impl Iterator<Item = &Arc<Pull>> {
        live_entries(&self.pulls)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pulls.is_empty()
    }

    /// Publishes the node, if that is due.
    pub(super) fn publish_view(&mut self, update: &mut FleetStep<'_>) {
        let is_due = self
            .last_published
            .is_none_or(|published| self.last_report_at.since(published) >= MIN_VIEW_INTERVAL);
        if !is_due {
            return;
        }
        self.last_published = Some(self.last_report_at);
        update.changes.nodes.push(NodeView {
            name: self.name.clone(),
            state: self.state,
            last_report_at: self.last_report_at,
            agent_version: Some(Arc::clone(&self.agent_version)).filter(|v| !v.is_empty()),
            runtime_version: self.runtime_version.clone(),
            clock_offset_ms: Some(self.offset.millis()),
            live: LiveTotals::from_pulls(self.live_pulls()),
            ended: self.ended.len(),
        });
    }

    /// Converts a node time to the server's clock; at most now.
    fn server_time(&self, at: NodeTime, now: ServerNow) -> NodeTime {
        shift(at, self.offset.millis()).min(now.at)
    }
}

fn live_entries(pulls: &BTreeMap<PullId, PullEntry>) -> impl Iterator<Item = &Arc<Pull>> {
    let live = pulls.values().filter(|entry| entry.ended_at_server.is_none());
    live.map(|entry| &entry.shown)
}

/// Returns the milliseconds from `earlier` to `later`, which may be negative.
fn millis_between(earlier: NodeTime, later: NodeTime) -> i64 {
    later.unix_nanos().saturating_sub(earlier.unix_nanos()) / 1_000_000
}
