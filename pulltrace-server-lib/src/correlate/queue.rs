//! Rows of announced images that no pull serves: queued by the kubelet, failed before a pull
//! started, or pulled on a node without an agent.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use pulltrace_core::{
    LinkEvidence, Links, NodeName, NodeTime, Outcome, Percent, Phase, Pull, PullId, RequestedImage,
    WaitingKind, WaitingOn,
};

use super::attribution::{Attribution, Candidate, PullMode};
use super::demand::{Attempt, AttemptOutcome, DemandState, next_retry};
use super::matching::KUBELET_NAMESPACE;
use crate::clock::ServerNow;

/// Time to wait for the pull of an announcement before a row is shown, unless the image is known to
/// be queued. The agent's first report may take that long.
pub(super) const ANNOUNCEMENT_GRACE: Duration = Duration::from_millis(2_500);

/// Time for which an announcement is shown after its pod was removed.
const DELETED_POD_TTL: Duration = Duration::from_mins(5);

/// The state of the node that its rows depend on.
#[derive(Clone, Copy, Debug)]
pub(super) struct QueueContext {
    pub(super) mode: PullMode,
    /// Set if an agent observes the node's pulls.
    pub(super) has_agent: bool,
    /// Set if all existing pods are known.
    pub(super) pods_complete: bool,
    pub(super) now: ServerNow,
    /// The retention period of announcements that are no longer updated.
    pub(super) ttl: Duration,
}

/// Returns the rows of announced images that no pull serves, one per image. `pulls` must be sorted
/// by start time. `recently_ended` matches pulls whose end was only just received, so that the
/// kubelet's event may still be under way.
pub(super) fn announced_rows(
    node: &NodeName,
    pulls: &[&Arc<Pull>],
    candidates: &[Candidate<'_>],
    attribution: &Attribution<'_>,
    context: QueueContext,
    recently_ended: impl Fn(&PullId) -> bool,
) -> BTreeMap<PullId, (Pull, Links)> {
    let live: Vec<&Arc<Pull>> = pulls
        .iter()
        .filter(|pull| {
            pull.outcome().is_none() && pull.id.namespace().as_str() == KUBELET_NAMESPACE
        })
        .copied()
        .collect();
    // Candidates for an image that is being pulled wait for that pull.
    let ended = pulls.iter().filter(|pull| recently_ended(&pull.id));
    let pulled: BTreeSet<&RequestedImage> = live
        .iter()
        .chain(ended)
        .filter_map(|pull| attribution.links.get(&pull.id))
        .flat_map(|links| links.pods.iter().map(|(waiter, _)| &waiter.image))
        .collect();
    let completed = pulls.iter().filter(|pull| pull.outcome() == Some(Outcome::Completed));
    let completed: Vec<_> = completed
        .filter_map(|pull| Some((pull.ended_at?, attribution.links.get(&pull.id)?)))
        .collect();
    // An image that was pulled after the announcement is present, even if the kubelet still asks
    // for it.
    let completed_since = |candidate: &Candidate<'_>, attempt: &Attempt| {
        let since = attempt.announced.filter(|_| attempt.is_open());
        let later = completed.iter().filter(|(ended, _)| since.is_some_and(|at| at.0 <= *ended));
        let mut waiters = later.flat_map(|(_, links)| &links.pods);
        waiters.any(|(waiter, _)| *waiter == candidate.waiter())
    };
    let mut groups: BTreeMap<&RequestedImage, Vec<(&Candidate<'_>, &Attempt)>> = BTreeMap::new();
    for candidate in candidates.iter().filter(|w| !pulled.contains(&w.key.image)) {
        if let Some(last) = candidate.attempts.last()
            && candidate.serving_pull(candidate.attempts.len() - 1).is_none()
            && !completed_since(candidate, last)
        {
            groups.entry(&candidate.key.image).or_default().push((candidate, last));
        }
    }
    let mut rows: Vec<ImageRow<'_>> = groups
        .into_values()
        .filter_map(|members| ImageRow::from_members(&members, context))
        .collect();
    rows.sort_by_key(|row| (row.attempt.id_time(), row.leader.key));
    let mut queued_before = 0;
    let mut built = BTreeMap::new();
    for row in rows {
        let queued = row.state == RowState::Queued;
        let shown = row.build(node, &live, queued_before, context);
        queued_before += u32::from(queued);
        let members = candidates.iter().filter(|w| w.key.image == row.leader.key.image);
        if let Some((pull, mut links)) = shown {
            links.pods = members
                .filter(|candidate| {
                    candidate.state != DemandState::Present
                        && candidate.demand.pod_removed_at.is_none()
                })
                .map(|candidate| (candidate.waiter(), LinkEvidence::Event))
                .collect();
            if links.pods.is_empty() {
                links.pods = vec![(row.leader.waiter(), LinkEvidence::Event)];
            }
            built.insert(pull.id.clone(), (pull, links));
        }
    }
    built
}

/// Reports whether a row was identified by an end whose announcement arrived later. It continues
/// under the id of the announcement.
pub(super) fn was_renamed(id: &PullId, candidates: &[Candidate<'_>]) -> bool {
    let PullId::Announced { pod, consumer, at, .. } = id else {
        return false;
    };
    let of_slot = candidates.iter().filter(|w| w.key.uid == *pod && w.key.consumer == *consumer);
    let mut renamed = false;
    for attempt in of_slot.flat_map(|candidate| &candidate.attempts) {
        if attempt.id_time() == Some(*at) {
            return false;
        }
        renamed |= attempt.end.as_ref().is_some_and(|(end, _)| end.0 == *at);
    }
    renamed
}

/// Ends an announced row that no longer exists: with the outcome its kubelet reported, or as
/// unknown.
pub(super) fn ended_row(pull: &Pull, candidates: &[Candidate<'_>], now: NodeTime) -> Option<Pull> {
    let PullId::Announced { pod, consumer, at, .. } = &pull.id else {
        return None;
    };
    if pull.outcome().is_some() {
        return Some(pull.clone());
    }
    let of_slot = candidates.iter().filter(|w| w.key.uid == *pod && w.key.consumer == *consumer);
    let its = of_slot.flat_map(|candidate| &candidate.attempts);
    let end = its
        .filter(|attempt| attempt.id_time() == Some(*at))
        .find_map(|attempt| attempt.end.as_ref());
    let mut ended = pull.clone();
    (ended.waiting_on, ended.stale_since) = (None, None);
    let (at, outcome) = match end {
        Some((at, AttemptOutcome::Pulled { .. } | AttemptOutcome::AlreadyPresent)) => {
            ended.percent = Some(Percent::DONE);
            (at.0, Outcome::Completed)
        }
        Some((at, AttemptOutcome::Failed(failure))) => {
            ended.failure = Some(failure.clone());
            (at.0, Outcome::Failed)
        }
        None => (now, Outcome::Unknown),
    };
    ended.phase = Phase::Ended(outcome);
    ended.ended_at = Some(at.max(pull.started_at));
    Some(ended)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RowState {
    Queued,
    Failed,
    Completed,
}

/// The combined announcements of one image.
#[derive(Debug)]
struct ImageRow<'a> {
    leader: &'a Candidate<'a>,
    attempt: &'a Attempt,
    state: RowState,
}

impl<'a> ImageRow<'a> {
    fn from_members(
        members: &[(&'a Candidate<'a>, &'a Attempt)],
        context: QueueContext,
    ) -> Option<Self> {
        let first = |predicate: &dyn Fn(&Candidate<'_>, &Attempt) -> bool| {
            let fits = members.iter().filter(|(candidate, attempt)| predicate(candidate, attempt));
            fits.min_by_key(|(candidate, attempt)| (attempt.id_time(), candidate.key)).copied()
        };
        let is_current = |candidate: &Candidate<'_>| {
            // Trust listed events only if their pod exists: all others are outdated.
            let credible = candidate.demand.seen_live
                || candidate.demand.declared.is_some()
                || !context.pods_complete;
            credible && context.now.mono.since(candidate.demand.updated_at) < context.ttl
        };
        let is_expired = |candidate: &Candidate<'_>| {
            let since = candidate.demand.pod_removed_at;
            since.is_some_and(|since| context.now.mono.since(since) >= DELETED_POD_TTL)
        };
        let open = first(&|candidate, attempt| {
            attempt.is_open()
                && matches!(candidate.state, DemandState::InProgress(_))
                && is_current(candidate)
                && !is_expired(candidate)
        });
        if let Some((leader, attempt)) = open {
            let state = RowState::Queued;
            return Some(Self { leader, attempt, state });
        }
        // The row stays with the demand that failed first.
        let failed = members
            .iter()
            .filter(|(candidate, _)| {
                matches!(candidate.state, DemandState::Failed(_)) && is_current(candidate)
            })
            .min_by_key(|(candidate, _)| {
                (candidate.attempts.first().and_then(Attempt::id_time), candidate.key)
            });
        if let Some((leader, attempt)) = failed.copied() {
            let state = RowState::Failed;
            return Some(Self { leader, attempt, state });
        }
        let pulled = first(&|candidate, attempt| {
            matches!(attempt.end, Some((_, AttemptOutcome::Pulled { .. })))
                && is_current(candidate)
                && !context.has_agent
        });
        pulled.map(|(leader, attempt)| Self { leader, attempt, state: RowState::Completed })
    }

    fn build(
        &self,
        node: &NodeName,
        live: &[&Arc<Pull>],
        queued_before: u32,
        context: QueueContext,
    ) -> Option<(Pull, Links)> {
        let (candidate, attempt) = (self.leader, self.attempt);
        let id = candidate.key.announced_id(node, attempt)?;
        let at = attempt.id_time()?;
        let waits = context.mode == PullMode::Serial && !live.is_empty();
        let announced_for = context.now.mono.since(candidate.demand.announcement_received_at);
        if self.state != RowState::Failed && !waits && announced_for < ANNOUNCEMENT_GRACE {
            return None;
        }
        let mut pull = Pull::new(id, Phase::Queued, at);
        if let Some(name) = candidate.key.image.image_ref() {
            pull.names = vec![name.clone()];
            pull.repository = Some(name.repository());
        }
        let which = candidate.attempts.len() - 1;
        let before = which.checked_sub(1);
        let before = before.filter(|before| candidate.serving_pull(*before).is_none());
        let mut links = Links {
            attempt: Some(attempt.number),
            queued_at: attempt.announced.map(|at| at.0),
            supersedes: before
                .and_then(|before| candidate.key.announced_id(node, &candidate.attempts[before])),
            ..Links::default()
        };
        match (self.state, &attempt.end) {
            (RowState::Failed, Some((end, AttemptOutcome::Failed(failure)))) => {
                pull.failure = Some(failure.clone());
                pull.phase = Phase::Ended(Outcome::Failed);
                pull.ended_at = Some(end.0.max(at));
                links.next_retry_at = next_retry(*end, attempt.number, failure);
            }
            (RowState::Completed, Some((end, AttemptOutcome::Pulled { took, .. }))) => {
                pull.phase = Phase::Ended(Outcome::Completed);
                pull.percent = Some(Percent::DONE);
                pull.ended_at = Some(end.0.max(at));
                if let Some(took) = took {
                    pull.started_at = end.0.saturating_sub(*took).max(at);
                }
            }
            // Without an agent, the runtime is not observed.
            _ if !context.has_agent => {
                pull.phase = Phase::Resolving;
                pull.stale_since = Some(at);
            }
            _ => {
                let first = live.first();
                let before = u32::try_from(live.len()).unwrap_or(u32::MAX);
                let mut waiting = WaitingOn::new(WaitingKind::KubeletQueue, at);
                waiting.pull = first.map(|pull| pull.id.clone());
                waiting.left = first.and_then(|pull| pull.eta).map(|eta| eta.left);
                waiting.ahead = Some(before.saturating_add(queued_before));
                pull.waiting_on = Some(waiting);
            }
        }
        Some((pull, links))
    }
}
