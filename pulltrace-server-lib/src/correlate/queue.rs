//! Phase 3: which announced images wait in the kubelet's queue?
//!
//! An announced image that no pull serves gets a row of its own: queued, failed before a pull
//! started, or pulled on a node without an agent. All pods that wait for the image share the row.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use pulltrace_core::{
    LinkEvidence, Links, Mono, NodeName, Outcome, Percent, Phase, Pull, PullId, RequestedImage,
    Waiter, WaitingKind, WaitingOn,
};

use super::attempt::{Attempt, AttemptOutcome};
use super::attribution::{AttributedPull, Attribution};
use super::demand::{Candidate, DemandState};
use super::matching::KUBELET_NAMESPACE;
use super::pull_mode::PullMode;

/// Time to wait for the pull of an announcement before a row is shown, unless the image is known to
/// be queued. The agent's first report may take that long.
pub(super) const ANNOUNCEMENT_GRACE: Duration = Duration::from_millis(2_500);

/// Time for which an announcement is shown after its pod was removed.
const DELETED_POD_TTL: Duration = Duration::from_mins(5);

/// The state of the node that its rows depend on.
#[derive(Clone, Copy, Debug)]
pub(super) struct QueueContext<'a> {
    pub(super) node: &'a NodeName,
    pub(super) mode: PullMode,
    /// Set if an agent observes the node's pulls.
    pub(super) has_agent: bool,
    /// Set if all existing pods are known.
    pub(super) pods_complete: bool,
    pub(super) now: Mono,
    /// The retention period of announcements that are no longer updated.
    pub(super) ttl: Duration,
}

/// The row of an announced image.
#[derive(Debug, PartialEq)]
pub(super) struct AnnouncedRow {
    pub(super) pull: Pull,
    pub(super) links: Links,
}

/// Returns the rows of announced images that no pull serves, one per image.
pub(super) fn announced_rows(
    attribution: &Attribution<'_>,
    context: &QueueContext<'_>,
) -> BTreeMap<PullId, AnnouncedRow> {
    let running = attribution.pulls.iter().map(|attributed| &**attributed.pull).filter(|pull| {
        pull.outcome().is_none() && pull.id.namespace().as_str() == KUBELET_NAMESPACE
    });
    let mut ahead = Ahead { running: running.collect(), queued: 0 };
    let mut images: Vec<QueuedImage<'_>> = unserved_announcements(attribution, context.now)
        .into_values()
        .filter_map(|announcements| QueuedImage::choose(&announcements, context))
        .collect();
    images.sort_by_key(|image| image.leader.order());
    let mut rows = BTreeMap::new();
    for image in images {
        if let Some(mut row) = image.row(&ahead, context) {
            row.links.pods = image.waiters(&attribution.candidates);
            rows.insert(row.pull.id.clone(), row);
        }
        ahead.queued += u32::from(image.state == RowState::Queued);
    }
    rows
}

/// Returns the images that need no row, because their pods wait for a pull that has one. This holds
/// until the kubelet's event about the end of that pull can be expected to have arrived.
fn images_being_pulled<'c>(
    attribution: &'c Attribution<'_>,
    now: Mono,
) -> BTreeSet<&'c RequestedImage> {
    let is_current = |attributed: &&AttributedPull<'_>| match attributed.end_received_at {
        Some(received) => now.since(received) < ANNOUNCEMENT_GRACE,
        None => attributed.pull.outcome().is_none(),
    };
    let current = attribution.pulls.iter().filter(is_current);
    current.flat_map(|attributed| &attributed.links.pods).map(|(waiter, _)| &waiter.image).collect()
}

/// The last attempt of a candidate.
#[derive(Clone, Copy, Debug)]
struct Announcement<'c> {
    candidate: &'c Candidate<'c>,
    attempt: &'c Attempt,
}

/// Returns the last attempts that no pull serves, by image.
fn unserved_announcements<'c>(
    attribution: &'c Attribution<'_>,
    now: Mono,
) -> BTreeMap<&'c RequestedImage, Vec<Announcement<'c>>> {
    let being_pulled = images_being_pulled(attribution, now);
    let mut unserved: BTreeMap<&RequestedImage, Vec<Announcement<'_>>> = BTreeMap::new();
    for candidate in &attribution.candidates {
        let Some(last) = candidate.attempts.len().checked_sub(1) else {
            continue;
        };
        let attempt = &candidate.attempts[last];
        if !being_pulled.contains(&candidate.key.image)
            && candidate.serving_pull(last).is_none()
            && !is_pulled_since(candidate, attempt, &attribution.pulls)
        {
            let announcements = unserved.entry(&candidate.key.image).or_default();
            announcements.push(Announcement { candidate, attempt });
        }
    }
    unserved
}

/// Reports whether the image was pulled after it was announced. Then it is present, even if the
/// kubelet still asks for it.
fn is_pulled_since(
    candidate: &Candidate<'_>,
    attempt: &Attempt,
    pulls: &[AttributedPull<'_>],
) -> bool {
    let Some(announced) = attempt.announced.filter(|_| attempt.is_open()) else {
        return false;
    };
    let later = pulls.iter().filter(|attributed| {
        let pull = attributed.pull;
        pull.outcome() == Some(Outcome::Completed)
            && pull.ended_at.is_some_and(|ended| announced.0 <= ended)
    });
    let mut waiters = later.flat_map(|attributed| &attributed.links.pods);
    waiters.any(|(waiter, _)| candidate.is_waiter(waiter))
}

impl<'c> Announcement<'c> {
    /// Returns the sort key of announcements.
    fn order(&self) -> impl Ord + use<'c> {
        (self.attempt.id_time(), self.candidate.key)
    }

    fn is_current(&self, context: &QueueContext<'_>) -> bool {
        let demand = self.candidate.demand;
        // Trust listed events only if their pod exists: all others are outdated.
        let credible = demand.seen_live || demand.declared.is_some() || !context.pods_complete;
        credible && context.now.since(demand.updated_at) < context.ttl
    }

    fn is_queued(&self, context: &QueueContext<'_>) -> bool {
        let removed_at = self.candidate.demand.pod_removed_at;
        let is_expired = removed_at.is_some_and(|at| context.now.since(at) >= DELETED_POD_TTL);
        self.candidate.state == DemandState::InProgress
            && self.attempt.is_open()
            && self.is_current(context)
            && !is_expired
    }

    fn is_failed(&self, context: &QueueContext<'_>) -> bool {
        self.candidate.state == DemandState::Failed && self.is_current(context)
    }

    /// Reports whether it was pulled without being observed by an agent.
    fn is_completed(&self, context: &QueueContext<'_>) -> bool {
        !context.has_agent
            && matches!(self.attempt.outcome(), Some(AttemptOutcome::Pulled { .. }))
            && self.is_current(context)
    }
}

/// The state of an announced image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RowState {
    Queued,
    Failed,
    Completed,
}

/// The combined announcements of one image.
#[derive(Clone, Copy, Debug)]
struct QueuedImage<'c> {
    /// The announcement that the row belongs to.
    leader: Announcement<'c>,
    state: RowState,
}

/// Everything that an announced image waits for.
#[derive(Debug)]
struct Ahead<'c> {
    /// Running pulls, in order of their start.
    running: Vec<&'c Pull>,
    /// The number of images announced before it.
    queued: u32,
}

impl<'c> QueuedImage<'c> {
    /// Chooses the announcement that represents the image, or `None` if it needs no row.
    fn choose(announcements: &[Announcement<'c>], context: &QueueContext<'_>) -> Option<Self> {
        let first = |is_eligible: fn(&Announcement<'c>, &QueueContext<'_>) -> bool| {
            let eligible = announcements.iter().filter(|one| is_eligible(one, context));
            eligible.min_by_key(|one| one.order()).copied()
        };
        if let Some(leader) = first(Announcement::is_queued) {
            return Some(Self { leader, state: RowState::Queued });
        }
        // The row stays with the demand that failed first.
        let failed = announcements.iter().filter(|one| one.is_failed(context));
        let failed = failed.min_by_key(|one| {
            let first_attempt = one.candidate.attempts.first();
            (first_attempt.and_then(Attempt::id_time), one.candidate.key)
        });
        if let Some(leader) = failed.copied() {
            return Some(Self { leader, state: RowState::Failed });
        }
        let leader = first(Announcement::is_completed)?;
        Some(Self { leader, state: RowState::Completed })
    }

    /// Returns its row, or `None` while the agent may still report its pull.
    fn row(&self, ahead: &Ahead<'_>, context: &QueueContext<'_>) -> Option<AnnouncedRow> {
        let Announcement { candidate, attempt } = self.leader;
        let waits_for_running = context.mode == PullMode::Serial && !ahead.running.is_empty();
        let received_at = candidate.demand.announcement_received_at;
        let pull_may_appear = context.now.since(received_at) < ANNOUNCEMENT_GRACE;
        if self.state != RowState::Failed && !waits_for_running && pull_may_appear {
            return None;
        }
        let id = candidate.key.announced_id(context.node, attempt)?;
        let at = attempt.id_time()?;
        let mut pull = Pull::new(id, Phase::Queued, at);
        if let Some(name) = candidate.key.image.image_ref() {
            pull.names = vec![name.clone()];
            pull.repository = Some(name.repository());
        }
        let links = Links {
            attempt: Some(attempt.number),
            queued_at: attempt.announced.map(|announced| announced.0),
            supersedes: self.previous_row(context.node),
            next_retry_at: attempt.next_retry_at().filter(|_| self.state == RowState::Failed),
            ..Links::default()
        };
        match (self.state, &attempt.end) {
            (RowState::Failed, Some(end)) => {
                pull.failure = attempt.failure().cloned();
                pull.phase = Phase::Ended(Outcome::Failed);
                pull.ended_at = Some(end.at.0.max(at));
            }
            (RowState::Completed, Some(end)) => {
                pull.phase = Phase::Ended(Outcome::Completed);
                pull.motion.percent = Some(Percent::DONE);
                pull.ended_at = Some(end.at.0.max(at));
                if let AttemptOutcome::Pulled { took: Some(took), .. } = &end.outcome {
                    pull.started_at = end.at.0.saturating_sub(*took).max(at);
                }
            }
            // Without an agent, the runtime is not observed.
            _ if !context.has_agent => {
                pull.phase = Phase::Resolving;
                pull.stale_since = Some(at);
            }
            _ => {
                let mut waiting = WaitingOn::new(WaitingKind::KubeletQueue, at);
                let first = ahead.running.first();
                waiting.pull = first.map(|pull| pull.id.clone());
                waiting.left = first.and_then(|pull| pull.motion.eta).map(|eta| eta.left);
                let running = u32::try_from(ahead.running.len()).unwrap_or(u32::MAX);
                waiting.ahead = Some(running.saturating_add(ahead.queued));
                pull.waiting_on = Some(waiting);
            }
        }
        Some(AnnouncedRow { pull, links })
    }

    /// Returns the id of the previous attempt's row, if it had one.
    fn previous_row(&self, node: &NodeName) -> Option<PullId> {
        let candidate = self.leader.candidate;
        let previous = candidate.attempts.len().checked_sub(2)?;
        match candidate.serving_pull(previous) {
            Some(_) => None,
            None => candidate.key.announced_id(node, &candidate.attempts[previous]),
        }
    }

    /// Returns all that wait for the image.
    fn waiters(&self, candidates: &[Candidate<'_>]) -> Vec<(Waiter, LinkEvidence)> {
        let leader = self.leader.candidate;
        let waiting = candidates.iter().filter(|candidate| {
            candidate.key.image == leader.key.image
                && candidate.state != DemandState::Present
                && candidate.demand.pod_removed_at.is_none()
        });
        let mut pods: Vec<_> =
            waiting.map(|candidate| (candidate.waiter(), LinkEvidence::Event)).collect();
        if pods.is_empty() {
            pods.push((leader.waiter(), LinkEvidence::Event));
        }
        pods
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::correlate::tests::facts::{Facts, NOW};
    use crate::correlate::tests::world::{
        at, failed_event, lease, pod_ref, pulled_event, pulling_event, resolved,
    };

    const APP: &str = "registry.test/shop/app:1";
    const DB: &str = "registry.test/shop/db:1";
    const REPOSITORY: &str = "registry.test/shop/app";

    /// Returns the rows, in order of their start, after a time without changes.
    fn rows(
        facts: &Facts,
        pulls: &[Arc<Pull>],
        mode: PullMode,
        after: Duration,
    ) -> Vec<AnnouncedRow> {
        let context = QueueContext {
            node: &"w1".parse().unwrap(),
            mode,
            has_agent: true,
            pods_complete: true,
            now: Mono(NOW.0 + after),
            ttl: Duration::from_mins(30),
        };
        let mut rows: Vec<AnnouncedRow> =
            announced_rows(&facts.attribute(pulls), &context).into_values().collect();
        rows.sort_by_key(|row| row.pull.started_at);
        rows
    }

    fn pods(row: &AnnouncedRow) -> Vec<&str> {
        row.links.pods.iter().map(|(waiter, _)| waiter.pod.name.as_str()).collect()
    }

    #[test]
    fn image_being_pulled_gets_no_row() {
        let facts = Facts::default()
            .event(&pulling_event("web-1", "app", APP, 1.0))
            .event(&pulling_event("web-2", "app", APP, 2.0));
        let pulls = [Arc::new(resolved(lease(1, 1.1), REPOSITORY, 'a'))];
        assert_eq!(rows(&facts, &pulls, PullMode::Serial, ANNOUNCEMENT_GRACE), []);
    }

    #[test]
    fn pods_share_row_of_first_announcement() {
        let facts = Facts::default()
            .event(&pulling_event("db-1", "db", DB, 2.0))
            .event(&pulling_event("db-2", "db", DB, 1.0));
        let found = rows(&facts, &[], PullMode::Unknown, ANNOUNCEMENT_GRACE);
        let [row] = &found[..] else { panic!("{found:?}") };
        assert!(
            matches!(&row.pull.id, PullId::Announced { pod, .. } if *pod == pod_ref("db-2").uid)
        );
        assert_eq!(pods(row), ["db-1", "db-2"]);
    }

    #[test]
    fn queued_image_counts_running_and_queued_pulls_ahead() {
        let facts = Facts::default()
            .event(&pulling_event("web", "app", APP, 1.0))
            .event(&pulling_event("db", "db", DB, 2.0))
            .event(&pulling_event("tools", "x", "registry.test/tools/x:9", 3.0));
        let pulls = [Arc::new(resolved(lease(1, 1.1), REPOSITORY, 'a'))];
        let found = rows(&facts, &pulls, PullMode::Serial, Duration::ZERO);
        let ahead = found.iter().map(|row| row.pull.waiting_on.as_ref().unwrap());
        let ahead: Vec<_> = ahead.map(|waiting| (waiting.pull.clone(), waiting.ahead)).collect();
        let running = Some(pulls[0].id.clone());
        assert_eq!(ahead, [(running.clone(), Some(1)), (running, Some(2))]);
    }

    #[test]
    fn row_waits_for_pull_unless_kubelet_is_serial() {
        let facts = Facts::default()
            .event(&pulling_event("web", "app", APP, 1.0))
            .event(&pulling_event("db", "db", DB, 2.0));
        let pulls = [Arc::new(resolved(lease(1, 1.1), REPOSITORY, 'a'))];
        let count = |mode, after| rows(&facts, &pulls, mode, after).len();
        assert_eq!(count(PullMode::Unknown, Duration::ZERO), 0);
        assert_eq!(count(PullMode::Unknown, ANNOUNCEMENT_GRACE), 1);
        assert_eq!(count(PullMode::Serial, Duration::ZERO), 1);
        assert_eq!(rows(&facts, &[], PullMode::Serial, Duration::ZERO).len(), 0, "nothing runs");
    }

    #[test]
    fn failed_image_has_row_at_once() {
        let facts = Facts::default()
            .event(&pulling_event("web", "app", APP, 1.0))
            .event(&failed_event("web", "app", APP, "x: not found", (2.0, 2.0, 1)));
        let found = rows(&facts, &[], PullMode::Unknown, Duration::ZERO);
        let [row] = &found[..] else { panic!("{found:?}") };
        assert_eq!(row.pull.phase, Phase::Ended(Outcome::Failed));
        assert_eq!((row.links.attempt, row.links.next_retry_at), (Some(1), Some(at(12.0))));
    }

    #[test]
    fn pulled_image_has_row_only_without_agent() {
        let facts = Facts::default()
            .event(&pulling_event("web", "app", APP, 1.0))
            .event(&pulled_event("web", "app", APP, 9.0, 7.0, 8.0));
        assert_eq!(rows(&facts, &[], PullMode::Unknown, ANNOUNCEMENT_GRACE), []);
        let node = "w1".parse().unwrap();
        let context = QueueContext {
            node: &node,
            mode: PullMode::Unknown,
            has_agent: false,
            pods_complete: true,
            now: Mono(NOW.0 + ANNOUNCEMENT_GRACE),
            ttl: Duration::from_mins(30),
        };
        let found = announced_rows(&facts.attribute(&[]), &context);
        let pull = &found.values().next().unwrap().pull;
        assert_eq!(pull.phase, Phase::Ended(Outcome::Completed));
        assert_eq!((pull.started_at, pull.ended_at), (at(2.0), Some(at(9.0))));
    }
}
