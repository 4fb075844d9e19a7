//! Decides which pods wait for which pull of one node, from the state of that node alone.
//!
//! Pulls are processed by start time, those that match by name or digest first. A pull *serves* the
//! attempt it was started for, and is *waited for* by every container and volume that needs the
//! image meanwhile. Announced attempts that no pull serves get a separate row.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use pulltrace_core::{
    Failure, KubeletTimes, LinkEvidence, Links, Mono, NodeTime, Outcome, Pull, PullId,
    RequestedImage, Waiter,
};

use super::demand::{Attempt, AttemptOutcome, DemandKey, DemandState, ImageDemand, next_retry};
use super::matching::{KUBELET_NAMESPACE, MatchRank};
use super::tag_index::TagIndex;
use crate::cluster::ImagePresence;

/// Tolerance between an announcement and the start of its pull, since two processes read the clock.
const CLOCK_SLACK: Duration = Duration::from_millis(100);

/// Maximum delay until the agent observes an end.
const POLL_DELAY: Duration = Duration::from_secs(2);

/// Maximum time from the end of a pull to the start of its container, if only the pod's status
/// shows that the image is present.
const MAX_START_DELAY: Duration = Duration::from_mins(1);

/// Maximum lag of a pod's status behind its events.
pub(super) const STATUS_LAG: Duration = Duration::from_secs(30);

/// The way a kubelet pulls images: one at a time or several at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum PullMode {
    /// Not detected yet. The kubelet's default is serial.
    #[default]
    Unknown,
    /// One pull starts when another ends.
    Serial,
    /// Several pulls run at once.
    Parallel,
}

/// A demand with the data derived from it.
#[derive(Debug)]
pub(super) struct Candidate<'a> {
    pub(super) key: &'a DemandKey,
    pub(super) demand: &'a ImageDemand,
    pub(super) attempts: Vec<Attempt>,
    pub(super) state: DemandState,
    /// For each attempt, by index, the pull that served it and when that ended.
    served_by: BTreeMap<usize, (PullId, Option<NodeTime>)>,
    /// Pulls it was linked to before. Without events, its pod's status no longer shows that it
    /// waited once those pulls have ended.
    pub(super) previous_links: BTreeSet<PullId>,
}

/// An attempt that a pull served.
#[derive(Clone, Debug)]
pub(super) struct ServedAttempt<'a> {
    pub(super) key: &'a DemandKey,
    pub(super) attempt: Attempt,
}

/// The result of `attribute`.
#[derive(Debug, Default)]
pub(super) struct Attribution<'a> {
    pub(super) links: BTreeMap<PullId, Links>,
    pub(super) served: BTreeMap<PullId, ServedAttempt<'a>>,
}

impl<'a> Candidate<'a> {
    pub(super) fn new(key: &'a DemandKey, demand: &'a ImageDemand, now: Mono) -> Self {
        let attempts = demand.attempts();
        let state = demand.state(&attempts, now, STATUS_LAG);
        Self {
            key,
            demand,
            attempts,
            state,
            served_by: BTreeMap::new(),
            previous_links: BTreeSet::new(),
        }
    }

    /// Returns why the last attempt failed, from events, or else from the pod's status.
    pub(super) fn failure(&self) -> Option<Failure> {
        let attempt_failure = self.attempts.last().and_then(Attempt::failure);
        attempt_failure.map(|(_, failure)| failure.clone()).or_else(|| {
            self.demand.failure_from_status(&self.key.image).filter(|_| self.attempts.is_empty())
        })
    }

    pub(super) fn waiter(&self) -> Waiter {
        Waiter {
            pod: self.demand.pod.clone(),
            consumer: self.key.consumer.clone(),
            image: self.key.image.clone(),
        }
    }

    /// Returns the pull that served this attempt.
    pub(super) fn serving_pull(&self, which: usize) -> Option<&PullId> {
        self.served_by.get(&which).map(|(id, _)| id)
    }

    /// Restores an earlier result for a pull that is settled.
    pub(super) fn restore_served(&mut self, at: NodeTime, pull: &PullId, ended: Option<NodeTime>) {
        let which = self.attempts.iter().position(|attempt| attempt.id_time() == Some(at));
        if let Some(which) = which {
            self.served_by.insert(which, (pull.clone(), ended));
        }
    }

    /// Returns the attempts this pull may have been started for.
    fn possible_attempts(&self, pull: &Pull) -> impl Iterator<Item = usize> + '_ {
        let (from, id, outcome) = (active_since(pull), pull.id.clone(), pull.outcome());
        self.attempts.iter().enumerate().filter_map(move |(index, attempt)| {
            let announced = attempt.announced?;
            let taken = self.serving_pull(index).is_some_and(|other| *other != id);
            let before = announced.0 <= from.saturating_add(CLOCK_SLACK);
            (before
                && !taken
                && outcomes_compatible(attempt, outcome)
                && self.is_unfinished_at(index, from))
            .then_some(index)
        })
    }

    /// Reports whether this attempt had not ended before `at`.
    fn is_unfinished_at(&self, which: usize, at: NodeTime) -> bool {
        // The kubelet's timestamp may be truncated to seconds, so an earlier end of the pull
        // decides.
        if let Some((_, Some(ended))) = self.served_by.get(&which)
            && *ended <= at
        {
            return false;
        }
        let end = self.attempts[which].end.as_ref();
        end.is_none_or(|(end, _)| end.latest() >= at)
    }

    /// Reports whether it waited for its image while this pull ran.
    fn waited_for(&self, pull: &Pull) -> bool {
        let ended_at = pull.ended_at;
        if self.attempts.is_empty() {
            return self.previous_links.contains(&pull.id) || self.waited_by_status(pull);
        }
        self.attempts.iter().enumerate().any(|(index, attempt)| {
            let Some(announced) = attempt.announced else {
                return false;
            };
            let before = ended_at.is_none_or(|over| announced.0 <= over);
            let mine = self.serving_pull(index) == Some(&pull.id);
            mine || (before && self.is_unfinished_at(index, active_since(pull)))
        })
    }

    /// Like `waited_for`, based on the pod's status alone.
    fn waited_by_status(&self, pull: &Pull) -> bool {
        match self.demand.declared.as_ref().map(|spec| &spec.status) {
            Some(ImagePresence::Waiting { .. }) => {
                pull.outcome().is_none() && self.demand.pod_removed_at.is_none()
            }
            Some(ImagePresence::Present { started_at: since, .. }) => {
                match (since, pull.ended_at) {
                    (Some(since), Some(ended)) => {
                        ended <= since.saturating_add(POLL_DELAY)
                            && since.since(ended) <= MAX_START_DELAY
                    }
                    // The container started before the end of the pull was reported.
                    (Some(since), None) => *since >= pull.started_at,
                    (None, _) => false,
                }
            }
            None => false,
        }
    }
}

/// Finds which candidates wait for which pull. `pulls` must be sorted by start time.
pub(super) fn attribute<'a>(
    pulls: &[&Arc<Pull>],
    candidates: &mut [Candidate<'a>],
    tag_index: &TagIndex,
    mode: PullMode,
) -> Attribution<'a> {
    let mut groups: BTreeMap<&RequestedImage, Vec<usize>> = BTreeMap::new();
    for (index, candidate) in candidates.iter().enumerate() {
        groups.entry(&candidate.key.image).or_default().push(index);
    }
    let mut attribution = Attribution::default();
    let mut unnamed = Vec::new();
    for pull in pulls {
        let ranked: Vec<(&RequestedImage, MatchRank)> = groups
            .keys()
            .filter_map(|image| Some((*image, MatchRank::between(pull, image, tag_index)?)))
            .collect();
        let named = ranked.iter().filter(|(_, rank)| *rank >= MatchRank::Digest);
        let named: Vec<_> = named.copied().collect();
        if named.is_empty() {
            unnamed.push((*pull, ranked));
            continue;
        }
        for (image, rank) in named {
            let evidence = rank.evidence().unwrap_or(LinkEvidence::Digest);
            let members = groups.get(image).map_or(&[][..], Vec::as_slice);
            link_candidates(pull, members, evidence, candidates, &mut attribution);
        }
    }
    for (pull, ranked) in unnamed {
        match choose_image(pull, &ranked, &groups, candidates, mode) {
            Choice::One(image, evidence) => {
                let members = groups.get(image).map_or(&[][..], Vec::as_slice);
                link_candidates(pull, members, evidence, candidates, &mut attribution);
            }
            Choice::Ambiguous(images) => {
                let members = images.iter().filter_map(|image| groups.get(image)).flatten();
                let members = members.filter(|index| candidates[**index].waited_for(pull));
                let candidates: Vec<_> = members.map(|index| candidates[*index].waiter()).collect();
                attribution.links.entry(pull.id.clone()).or_default().candidates = candidates;
            }
            Choice::None => {}
        }
    }
    attribution
}

/// Reports whether an attempt may belong to a pull with this outcome.
const fn outcomes_compatible(attempt: &Attempt, outcome: Option<Outcome>) -> bool {
    match (&attempt.end, outcome) {
        (Some((_, AttemptOutcome::Failed(_))), Some(Outcome::Completed)) => false,
        (
            Some((_, AttemptOutcome::Pulled { .. } | AttemptOutcome::AlreadyPresent)),
            Some(outcome),
        ) => !matches!(outcome, Outcome::Failed | Outcome::Cancelled),
        _ => true,
    }
}

enum Choice<'a> {
    None,
    One(&'a RequestedImage, LinkEvidence),
    Ambiguous(Vec<&'a RequestedImage>),
}

/// Chooses the image of a pull whose name is not known, among those it matches.
fn choose_image<'a>(
    pull: &Pull,
    ranked: &[(&'a RequestedImage, MatchRank)],
    groups: &BTreeMap<&RequestedImage, Vec<usize>>,
    candidates: &[Candidate<'_>],
    mode: PullMode,
) -> Choice<'a> {
    let members = |image: &RequestedImage| {
        let members = groups.get(image).map_or(&[][..], Vec::as_slice);
        members.iter().map(|index| &candidates[*index])
    };
    let first = |image: &RequestedImage| {
        let own = members(image).flat_map(|candidate| {
            let attempts = candidate.possible_attempts(pull);
            attempts.filter_map(|which| candidate.attempts[which].announced)
        });
        own.min()
    };
    let announced: Vec<_> =
        ranked.iter().filter_map(|(image, rank)| Some((*image, *rank, first(image)?))).collect();
    if announced.is_empty() {
        // Without announcements, require at least the same repository.
        let waited = |image| members(image).any(|candidate| candidate.waited_for(pull));
        let ranked = ranked.iter().filter(|(_, rank)| *rank >= MatchRank::Repository);
        let ranked: Vec<_> = ranked.filter(|(image, _)| waited(*image)).collect();
        let learned = ranked.iter().any(|(_, rank)| *rank == MatchRank::LearnedTag);
        let best = ranked.iter().filter(|(_, rank)| !learned || *rank == MatchRank::LearnedTag);
        let best: Vec<_> = best.map(|(image, rank)| (*image, *rank)).collect();
        return match best[..] {
            [] => Choice::None,
            [(image, rank)] => {
                Choice::One(image, rank.evidence().unwrap_or(LinkEvidence::OnlyCandidate))
            }
            _ => Choice::Ambiguous(best.into_iter().map(|(image, _)| image).collect()),
        };
    }
    let best = announced.iter().map(|(_, rank, _)| *rank).max();
    let best: Vec<_> = announced.iter().filter(|(_, rank, _)| Some(*rank) == best).collect();
    let evidence = |rank: MatchRank| rank.evidence().unwrap_or(LinkEvidence::Event);
    if let [(image, rank, _)] = best[..] {
        return Choice::One(image, evidence(*rank));
    }
    // A serial kubelet pulls in the order of announcement; a parallel one starts each pull
    // immediately.
    let decided = best.iter().filter(|(image, _, at)| {
        let others = best.iter().filter(|(other, ..)| other != image);
        others.clone().all(|(_, _, other)| match mode {
            PullMode::Serial => at.latest() < other.0,
            PullMode::Parallel => other.latest() < at.0,
            PullMode::Unknown => false,
        })
    });
    let decided: Vec<_> = decided.collect();
    match decided[..] {
        [(image, rank, _)] => Choice::One(image, evidence(*rank)),
        _ => Choice::Ambiguous(best.into_iter().map(|(image, ..)| *image).collect()),
    }
}

/// Links all candidates that wait for the image to the pull, and finds the attempt it serves.
fn link_candidates<'a>(
    pull: &Pull,
    members: &[usize],
    evidence: LinkEvidence,
    candidates: &mut [Candidate<'a>],
    attribution: &mut Attribution<'a>,
) {
    let took = pull.ended_at.map(|ended| ended.since(pull.started_at));
    let served = members
        .iter()
        .flat_map(|index| {
            let candidate = &candidates[*index];
            candidate.possible_attempts(pull).map(move |which| (*index, which))
        })
        .min_by_key(|(index, which)| {
            let candidate = &candidates[*index];
            let attempt = &candidate.attempts[*which];
            // If two pods need the same image, each has a pull: match by the duration the kubelet
            // reported.
            let duration_distance = match (&attempt.end, took) {
                (
                    Some((_, AttemptOutcome::Pulled { took: Some(kubelet_took), .. })),
                    Some(took),
                ) => kubelet_took.abs_diff(took).as_millis() / 500,
                _ => 0,
            };
            (duration_distance, attempt.announced, candidate.key)
        });
    let links = attribution.links.entry(pull.id.clone()).or_default();
    if let Some((index, which)) = served {
        let candidate = &mut candidates[index];
        let ended = effective_end(pull, &candidate.attempts[which]);
        candidate.served_by.insert(which, (pull.id.clone(), ended));
        let attempt = candidate.attempts[which].clone();
        apply_attempt(pull, candidate, &attempt, links);
        let key = candidate.key;
        attribution.served.insert(pull.id.clone(), ServedAttempt { key, attempt });
    }
    for candidate in members.iter().map(|index| &candidates[*index]) {
        let new = |(waiter, _): &(Waiter, LinkEvidence)| *waiter != candidate.waiter();
        if candidate.waited_for(pull) && links.pods.iter().all(new) {
            links.pods.push((candidate.waiter(), evidence));
        }
    }
    links.pods.sort();
}

/// Returns when a pull ended for the attempt it served. The agent observes that by polling,
/// possibly after the next pull has started, so the kubelet's duration is used if it gives an
/// earlier time.
fn effective_end(pull: &Pull, attempt: &Attempt) -> Option<NodeTime> {
    let observed = pull.ended_at?;
    let took = match &attempt.end {
        Some((_, AttemptOutcome::Pulled { took, .. })) => *took,
        _ => None,
    };
    // The kubelet's call starts slightly before the lease.
    let ended = took.map(|took| pull.started_at.saturating_add(took.saturating_sub(CLOCK_SLACK)));
    Some(ended.map_or(observed, |told| told.min(observed)))
}

/// Returns a time at which the pull was certainly running. A pull known from its record alone may
/// have the start time of an earlier pull of the same image, so the time of the record is used.
const fn active_since(pull: &Pull) -> NodeTime {
    match &pull.id {
        PullId::Record { at, .. } => *at,
        _ => pull.started_at,
    }
}

/// Copies the data of the served attempt to the links of the pull.
fn apply_attempt(pull: &Pull, candidate: &Candidate<'_>, attempt: &Attempt, links: &mut Links) {
    links.attempt = Some(attempt.number);
    links.queued_at = attempt.announced.map(|at| at.0);
    links.supersedes = candidate.key.announced_id(pull.id.node(), attempt);
    match &attempt.end {
        Some((
            _,
            AttemptOutcome::Pulled { took: Some(took), took_including_waiting: with_waiting, size },
        )) => {
            let comparable = pull.outcome() == Some(Outcome::Completed)
                && matches!(pull.id, PullId::Lease { .. });
            let ours = pull.ended_at.map(|ended| ended.since(pull.started_at));
            links.kubelet = Some(KubeletTimes {
                pulling: *took,
                with_waiting: *with_waiting,
                size: *size,
                agrees: ours.filter(|_| comparable).map(|ours| durations_agree(ours, *took)),
            });
        }
        Some((at, AttemptOutcome::Failed(failure))) if pull.outcome().is_some() => {
            links.next_retry_at = next_retry(*at, attempt.number, failure);
        }
        _ => {}
    }
}

/// Reports whether two measurements differ by at most 20 %, or by the second that polling may add.
fn durations_agree(ours: Duration, kubelets: Duration) -> bool {
    ours.abs_diff(kubelets) <= (kubelets / 5).max(Duration::from_secs(1))
}

/// Detects whether this kubelet pulls in parallel, by comparing pairs of its pulls; the latest
/// conclusive pair decides. `pulls` must be sorted by start time; `now` is the node's time.
pub(super) fn detect_mode(
    pulls: &[&Arc<Pull>],
    attribution: &Attribution<'_>,
    before: PullMode,
    now: NodeTime,
) -> PullMode {
    let served_pulls: Vec<_> = pulls
        .iter()
        .filter(|pull| pull.id.namespace().as_str() == KUBELET_NAMESPACE)
        .filter_map(|pull| Some((*pull, attribution.served.get(&pull.id)?)))
        .collect();
    let mut mode = before;
    for (index, (pull, served)) in served_pulls.iter().enumerate() {
        let others = served_pulls.iter().take(index);
        for (other, _) in others.filter(|(_, other)| other.key.image != served.key.image) {
            let over = other.ended_at.unwrap_or(now);
            let overlap = over.min(pull.ended_at.unwrap_or(now)).since(pull.started_at);
            let waited = served.attempt.announced.is_some_and(|at| {
                at.latest() > other.started_at
                    && pull.started_at.since(at.latest()) >= Duration::from_millis(500)
            });
            if overlap > POLL_DELAY {
                mode = PullMode::Parallel;
            } else if waited
                && other.ended_at.is_some()
                && pull.started_at.since(over) <= POLL_DELAY
            {
                mode = PullMode::Serial;
            }
        }
    }
    mode
}
