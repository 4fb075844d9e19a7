//! The pulls reported by a server: what to show of them, and what is still valid after the server
//! was lost. Depends only on messages and time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use pulltrace_client::{Filter, FollowEvent};
use pulltrace_core::wire::v1::{Phase, PullList, PullStatus};
use pulltrace_core::{Mono, NodeTime, Now, Outcome, Pull, PullId};

use crate::cli::ServerArgs;

/// A pull that was live when the server was lost ends as unknown if the server does not report it
/// within this time after reconnecting.
const MISSING_TIMEOUT: Duration = Duration::from_secs(60);

/// Urgency of showing a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Urgency {
    /// The next update is soon enough.
    Deferred,
    /// A pull started or ended.
    Immediate,
}

/// A message from the server.
#[derive(Debug)]
pub(super) enum ServerMessage {
    /// All known pulls; updates continue from here.
    Snapshot(PullList),
    /// A later change, or a lost connection.
    Update(FollowEvent),
}

/// The pulls reported by a server.
#[derive(Debug)]
pub(super) struct RemotePulls {
    phases: Vec<Phase>,
    /// Pulls that changed since they were last shown, in their latest state.
    pending: BTreeMap<String, PullStatus>,
    /// Ids of live pulls that are shown. A pull that leaves the selected phases is removed.
    live: BTreeSet<String>,
    /// Pulls shown as live that the server does not know since it reconnected, with that time.
    missing: BTreeMap<String, Mono>,
    /// Those of `missing` that are not shown as stale yet.
    newly_missing: Vec<String>,
    /// The server's time, and when it was received.
    clock: Option<(NodeTime, Mono)>,
}

impl RemotePulls {
    pub(super) fn new(phases: Vec<Phase>) -> Self {
        Self {
            phases,
            pending: BTreeMap::new(),
            live: BTreeSet::new(),
            missing: BTreeMap::new(),
            newly_missing: Vec::new(),
            clock: None,
        }
    }

    /// Applies a message. Returns `None` if it changes no shown pull.
    pub(super) fn apply(&mut self, message: ServerMessage, at: Mono) -> Option<Urgency> {
        match message {
            ServerMessage::Snapshot(list) => {
                self.clock = Some((list.now, at));
                // A restarted server knows no pulls until its agents have reported.
                let before = self.live.iter().map(|id| (id.clone(), at));
                self.missing = before.collect();
                for pull in list.pulls {
                    self.update(pull);
                }
                self.newly_missing = self.missing.keys().cloned().collect();
                Some(Urgency::Immediate)
            }
            ServerMessage::Update(FollowEvent::Event(event)) => {
                self.clock = Some((event.timestamp, at));
                self.update(event.pull?)
            }
            ServerMessage::Update(FollowEvent::SnapshotEnd(place) | FollowEvent::Ping(place)) => {
                self.clock = Some((place.now, at));
                None
            }
            ServerMessage::Update(_) => None,
        }
    }

    fn update(&mut self, status: PullStatus) -> Option<Urgency> {
        self.missing.remove(&status.id);
        if let Some(before) = &status.supersedes {
            // It is the same pull with a new id.
            self.missing.remove(before);
            self.live.remove(before);
            self.pending.remove(before);
            self.newly_missing.retain(|id| id != before);
        }
        let wanted = self.matches_phases(&status);
        let ended = status.outcome.is_some();
        let was_live = if ended || !wanted {
            self.live.remove(&status.id)
        } else {
            !self.live.insert(status.id.clone())
        };
        // A pull that was shown live is also shown ending or leaving the selected phases.
        if !wanted && !was_live {
            return None;
        }
        let news = if ended || !was_live { Urgency::Immediate } else { Urgency::Deferred };
        self.pending.insert(status.id.clone(), status);
        Some(news)
    }

    /// Reports whether the pull is in a selected phase.
    fn matches_phases(&self, status: &PullStatus) -> bool {
        self.phases.is_empty() || self.phases.contains(&status.phase)
    }

    /// Reports whether a live pull has left the selected phases.
    pub(super) fn has_left_phases(&self, status: &PullStatus) -> bool {
        status.outcome.is_none() && !self.matches_phases(status)
    }

    /// Returns the pulls that changed since the last call.
    pub(super) fn take_changed(&mut self) -> Vec<PullStatus> {
        std::mem::take(&mut self.pending).into_values().collect()
    }

    /// Returns the pulls that have become stale since the last call.
    pub(super) fn take_newly_missing(&mut self) -> Vec<PullId> {
        let missing = std::mem::take(&mut self.newly_missing);
        missing.iter().filter_map(|id| id.parse().ok()).collect()
    }

    /// Returns the pulls that have been missing for too long, and forgets them.
    pub(super) fn take_expired(&mut self, at: Mono) -> Vec<PullId> {
        let expired = |since: &Mono| at.since(*since) >= MISSING_TIMEOUT;
        let expired = self.missing.iter().filter(|(_, since)| expired(since));
        let gone: Vec<String> = expired.map(|(id, _)| id.clone()).collect();
        for id in &gone {
            self.missing.remove(id);
            self.live.remove(id);
        }
        gone.iter().filter_map(|id| id.parse().ok()).collect()
    }

    /// Returns the server's time, or this machine's until the server has sent its own.
    pub(super) fn now(&self, here: Now) -> NodeTime {
        self.clock.map_or(here.node, |(reported, at)| reported.saturating_add(here.mono.since(at)))
    }
}

/// Returns the pull as stale: its progress is no longer reported.
pub(super) fn mark_stale(pull: &Pull, now: NodeTime) -> Pull {
    let mut unseen = pull.clone();
    unseen.stale_since = pull.stale_since.or(Some(now));
    (unseen.motion.rate, unseen.motion.eta) = (None, None);
    (unseen.waiting_on, unseen.stalled_since) = (None, None);
    unseen
}

/// Returns the pull as ended with an unknown outcome.
pub(super) fn end_as_unknown(pull: &Pull, now: NodeTime) -> Pull {
    let mut ended = mark_stale(pull, now);
    ended.phase = pulltrace_core::Phase::Ended(Outcome::Unknown);
    ended.ended_at = Some(now);
    ended
}

/// Returns the filter of the initial list.
pub(super) fn list_filter(args: &ServerArgs) -> Filter {
    args.phase.iter().copied().fold(base_filter(args), Filter::phase)
}

/// Returns the filter of the stream. Live phases are filtered locally, because the stream must also
/// report pulls that leave them.
pub(super) fn stream_filter(args: &ServerArgs) -> Filter {
    if args.phase.iter().all(|phase| is_terminal(*phase)) {
        list_filter(args)
    } else {
        base_filter(args)
    }
}

fn base_filter(args: &ServerArgs) -> Filter {
    let mut filter = Filter::default();
    if let Some(node) = &args.node {
        filter = filter.node(node);
    }
    if let Some(namespace) = &args.pod_namespace {
        filter = filter.namespace(namespace);
    }
    if let Some(pod) = &args.pod {
        filter = filter.pod(pod);
    }
    if let Some(image) = &args.image {
        filter = filter.image(image);
    }
    filter
}

const fn is_terminal(phase: Phase) -> bool {
    matches!(phase, Phase::Completed | Phase::Failed | Phase::Cancelled | Phase::Unknown)
}

#[cfg(test)]
mod tests;
