//! Phase 2: which pods wait for which pull of the node?
//!
//! Pulls are processed by start time, those that match by name or digest first. A pull *serves* the
//! attempt it was started for, and is *waited for* by every container and volume that needs the
//! image meanwhile.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use pulltrace_core::{
    KubeletTimes, LinkEvidence, Links, Mono, NodeTime, Outcome, Pull, PullId, RequestedImage,
};

use super::attempt::{Attempt, AttemptOutcome, EventTime};
use super::demand::{Candidate, DemandKey, ServingPull};
use super::matching::MatchRank;
use super::pull_mode::{POLL_DELAY, PullMode, RequestedPull};
use super::tag_index::TagIndex;
use crate::cluster::ImagePresence;

/// Tolerance between an announcement and the start of its pull, since two processes read the clock.
const CLOCK_SLACK: Duration = Duration::from_millis(100);

/// Maximum time from the end of a pull to the start of its container, if only the pod's status
/// shows that the image is present.
const MAX_START_DELAY: Duration = Duration::from_mins(1);

/// Two durations closer than this may belong to the same pull.
const DURATION_STEP_MS: u128 = 500;

/// The result of [`attribute`].
#[derive(Debug)]
pub(super) struct Attribution<'a> {
    /// In order of their start.
    pub(super) pulls: Vec<AttributedPull<'a>>,
    /// With the pulls that served their attempts; ordered by key.
    pub(super) candidates: Vec<Candidate<'a>>,
}

/// A pull whose links are not final, with its links.
#[derive(Debug)]
pub(super) struct AttributedPull<'a> {
    pub(super) pull: &'a Arc<Pull>,
    /// When the report of its end was received.
    pub(super) end_received_at: Option<Mono>,
    /// Empty if no pod is known to wait for it.
    pub(super) links: Links,
    pub(super) served: Option<AttemptIndex>,
}

/// The position of an attempt among the candidates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct AttemptIndex {
    pub(super) candidate: usize,
    pub(super) attempt: usize,
}

impl AttemptIndex {
    pub(super) fn get<'c>(self, candidates: &'c [Candidate<'_>]) -> &'c Attempt {
        &candidates[self.candidate].attempts[self.attempt]
    }
}

impl<'a> AttributedPull<'a> {
    pub(super) fn new(pull: &'a Arc<Pull>, end_received_at: Option<Mono>) -> Self {
        Self { pull, end_received_at, links: Links::default(), served: None }
    }
}

impl<'a> Attribution<'a> {
    /// Returns the pulls that served an attempt, in order of their start.
    pub(super) fn requested_pulls(&self) -> Vec<RequestedPull<'a>> {
        let requested = self.pulls.iter().filter_map(|attributed| {
            let served = attributed.served?;
            Some(RequestedPull {
                image: &self.candidates[served.candidate].key.image,
                announced: served.get(&self.candidates).announced,
                started_at: attributed.pull.started_at,
                ended_at: attributed.pull.ended_at,
            })
        });
        requested.collect()
    }
}

/// Finds which candidates wait for which pull. `candidates` must be ordered by key.
pub(super) fn attribute<'a>(
    mut pulls: Vec<AttributedPull<'a>>,
    mut candidates: Vec<Candidate<'a>>,
    tag_index: &TagIndex,
    mode: PullMode,
) -> Attribution<'a> {
    pulls.sort_by_key(|attributed| (attributed.pull.started_at, &attributed.pull.id));
    let groups = ImageGroups::new(&candidates);
    let mut inexact = Vec::new();
    for attributed in &mut pulls {
        let ranked = groups.rank(attributed.pull, tag_index);
        let mut exact = ranked.iter().filter(|one| one.rank >= MatchRank::Digest).peekable();
        if exact.peek().is_none() {
            inexact.push(InexactMatch { attributed, ranked });
            continue;
        }
        for one in exact {
            let members = groups.members(one.image);
            link_waiters(attributed, members, one.evidence(LinkEvidence::Digest), &mut candidates);
        }
    }
    for InexactMatch { attributed, ranked } in inexact {
        match choose_image(attributed.pull, &ranked, &groups, &candidates, mode) {
            Choice::None => {}
            Choice::One(image, evidence) => {
                link_waiters(attributed, groups.members(image), evidence, &mut candidates);
            }
            Choice::Ambiguous(images) => {
                let members = images.iter().flat_map(|image| groups.members(image));
                let waiting = members
                    .map(|index| &candidates[*index])
                    .filter(|candidate| candidate.waited_for(attributed.pull));
                attributed.links.candidates = waiting.map(Candidate::waiter).collect();
            }
        }
    }
    Attribution { pulls, candidates }
}

/// The indices of the candidates for each image.
struct ImageGroups<'a>(BTreeMap<&'a RequestedImage, Vec<usize>>);

/// An image that a pull may be of.
struct RankedImage<'a> {
    image: &'a RequestedImage,
    rank: MatchRank,
}

/// A pull that matches no image by name or digest.
struct InexactMatch<'p, 'a> {
    attributed: &'p mut AttributedPull<'a>,
    ranked: Vec<RankedImage<'a>>,
}

impl<'a> ImageGroups<'a> {
    fn new(candidates: &[Candidate<'a>]) -> Self {
        let mut groups: BTreeMap<&RequestedImage, Vec<usize>> = BTreeMap::new();
        for (index, candidate) in candidates.iter().enumerate() {
            groups.entry(&candidate.key.image).or_default().push(index);
        }
        Self(groups)
    }

    fn members(&self, image: &RequestedImage) -> &[usize] {
        self.0.get(image).map_or(&[], Vec::as_slice)
    }

    /// Returns the images this pull can be of.
    fn rank(&self, pull: &Pull, tag_index: &TagIndex) -> Vec<RankedImage<'a>> {
        let images = self.0.keys().copied();
        let ranked = images.filter_map(|image| {
            let rank = MatchRank::between(pull, image, tag_index)?;
            Some(RankedImage { image, rank })
        });
        ranked.collect()
    }
}

impl RankedImage<'_> {
    /// Returns the evidence of the match, or `otherwise` if its rank is not conclusive.
    fn evidence(&self, otherwise: LinkEvidence) -> LinkEvidence {
        self.rank.evidence().unwrap_or(otherwise)
    }
}

#[derive(Debug, PartialEq)]
enum Choice<'a> {
    None,
    One(&'a RequestedImage, LinkEvidence),
    Ambiguous(Vec<&'a RequestedImage>),
}

/// Chooses the image of a pull whose name is not known, among those it matches.
fn choose_image<'a>(
    pull: &Pull,
    ranked: &[RankedImage<'a>],
    groups: &ImageGroups<'_>,
    candidates: &[Candidate<'_>],
    mode: PullMode,
) -> Choice<'a> {
    let members = |image| groups.members(image).iter().map(|index| &candidates[*index]);
    let first_announced = |image| {
        let possible = members(image).flat_map(|candidate| {
            let attempts = candidate.possible_attempts(pull);
            attempts.filter_map(|index| candidate.attempts[index].announced)
        });
        possible.min()
    };
    let announced: Vec<AnnouncedImage<'a>> = ranked
        .iter()
        .filter_map(|&RankedImage { image, rank }| {
            Some(AnnouncedImage { image, rank, at: first_announced(image)? })
        })
        .collect();
    if !announced.is_empty() {
        return choose_announced(&announced, mode);
    }
    let waited_for = |image| members(image).any(|candidate| candidate.waited_for(pull));
    choose_unannounced(ranked.iter().filter(|one| waited_for(one.image)))
}

/// An image that the kubelet announced before a pull started.
struct AnnouncedImage<'a> {
    image: &'a RequestedImage,
    rank: MatchRank,
    /// The first announcement.
    at: EventTime,
}

/// Chooses among announced images: the best match, then the order of announcement.
fn choose_announced<'a>(announced: &[AnnouncedImage<'a>], mode: PullMode) -> Choice<'a> {
    let best_rank = announced.iter().map(|one| one.rank).max();
    let best: Vec<_> = announced.iter().filter(|one| Some(one.rank) == best_rank).collect();
    // A serial kubelet pulls in the order of announcement; a parallel one starts each pull
    // immediately.
    let precedes = |one: &AnnouncedImage<'_>, other: &AnnouncedImage<'_>| match mode {
        PullMode::Serial => one.at.latest() < other.at.0,
        PullMode::Parallel => other.at.latest() < one.at.0,
        PullMode::Unknown => false,
    };
    let decided = best.iter().find(|one| {
        let mut others = best.iter().filter(|other| other.image != one.image);
        others.all(|other| precedes(one, other))
    });
    match decided {
        Some(one) => Choice::One(one.image, one.rank.evidence().unwrap_or(LinkEvidence::Event)),
        None => Choice::Ambiguous(best.iter().map(|one| one.image).collect()),
    }
}

/// Chooses among images that were not announced: only the same repository counts, and a learned tag
/// is better.
fn choose_unannounced<'i, 'a: 'i>(
    waited_for: impl Iterator<Item = &'i RankedImage<'a>>,
) -> Choice<'a> {
    let mut best: Vec<_> = waited_for.filter(|one| one.rank >= MatchRank::Repository).collect();
    if best.iter().any(|one| one.rank == MatchRank::LearnedTag) {
        best.retain(|one| one.rank == MatchRank::LearnedTag);
    }
    match best[..] {
        [] => Choice::None,
        [one] => Choice::One(one.image, one.evidence(LinkEvidence::OnlyCandidate)),
        _ => Choice::Ambiguous(best.iter().map(|one| one.image).collect()),
    }
}

/// Links a pull to all candidates that wait for the image, and finds the attempt it serves. If two
/// pods need one image, both are linked to the pull.
fn link_waiters<'a>(
    attributed: &mut AttributedPull<'a>,
    members: &[usize],
    evidence: LinkEvidence,
    candidates: &mut [Candidate<'a>],
) {
    let pull = attributed.pull;
    let links = &mut attributed.links;
    if let Some(served) = choose_attempt(pull, members, candidates) {
        let attempt = served.get(candidates);
        let ended_at = effective_end(pull, attempt);
        apply_attempt(pull, candidates[served.candidate].key, attempt, links);
        let serving = ServingPull { id: &pull.id, ended_at };
        candidates[served.candidate].served_by.insert(served.attempt, serving);
        attributed.served = Some(served);
    }
    for candidate in members.iter().map(|index| &candidates[*index]) {
        let is_new = links.pods.iter().all(|(waiter, _)| !candidate.is_waiter(waiter));
        if is_new && candidate.waited_for(pull) {
            links.pods.push((candidate.waiter(), evidence));
        }
    }
    links.pods.sort();
}

/// Chooses the attempt that a pull serves. If two pods need one image, each has a pull: the
/// duration that the kubelet reported decides, then the order of announcement.
fn choose_attempt(
    pull: &Pull,
    members: &[usize],
    candidates: &[Candidate<'_>],
) -> Option<AttemptIndex> {
    let took = pull.ended_at.map(|ended| ended.since(pull.started_at));
    let possible = members.iter().flat_map(|&candidate| {
        let attempts = candidates[candidate].possible_attempts(pull);
        attempts.map(move |attempt| AttemptIndex { candidate, attempt })
    });
    possible.min_by_key(|index| {
        let attempt = index.get(candidates);
        let distance = match (attempt.outcome(), took) {
            (Some(AttemptOutcome::Pulled { took: Some(reported), .. }), Some(took)) => {
                reported.abs_diff(took).as_millis() / DURATION_STEP_MS
            }
            _ => 0,
        };
        (distance, attempt.announced, candidates[index.candidate].key)
    })
}

/// Returns when a pull ended for the attempt it served. The agent observes that by polling,
/// possibly after the next pull has started, so the kubelet's duration is used if it gives an
/// earlier time.
fn effective_end(pull: &Pull, attempt: &Attempt) -> Option<NodeTime> {
    let observed = pull.ended_at?;
    let Some(AttemptOutcome::Pulled { took: Some(took), .. }) = attempt.outcome() else {
        return Some(observed);
    };
    // The kubelet's call starts slightly before the lease.
    let reported = pull.started_at.saturating_add(took.saturating_sub(CLOCK_SLACK));
    Some(reported.min(observed))
}

/// Copies the data of the served attempt to the links of the pull.
fn apply_attempt(pull: &Pull, demand: &DemandKey, attempt: &Attempt, links: &mut Links) {
    links.attempt = Some(attempt.number);
    links.queued_at = attempt.announced.map(|at| at.0);
    links.supersedes = demand.announced_id(pull.id.node(), attempt);
    match attempt.outcome() {
        Some(AttemptOutcome::Pulled { took: Some(took), took_including_waiting, size }) => {
            let comparable = pull.outcome() == Some(Outcome::Completed)
                && matches!(pull.id, PullId::Lease { .. });
            let observed = pull.ended_at.map(|ended| ended.since(pull.started_at));
            links.kubelet = Some(KubeletTimes {
                pulling: *took,
                with_waiting: *took_including_waiting,
                size: *size,
                agrees: observed.filter(|_| comparable).map(|one| durations_agree(one, *took)),
            });
        }
        Some(AttemptOutcome::Failed(_)) if pull.outcome().is_some() => {
            links.next_retry_at = attempt.next_retry_at();
        }
        _ => {}
    }
}

/// Reports whether two measurements differ by at most 20 %, or by the second that polling may add.
fn durations_agree(observed: Duration, reported: Duration) -> bool {
    observed.abs_diff(reported) <= (reported / 5).max(Duration::from_secs(1))
}

impl Candidate<'_> {
    /// Returns the attempts this pull may have been started for, by index.
    fn possible_attempts(&self, pull: &Pull) -> impl Iterator<Item = usize> {
        let from = active_since(pull);
        self.attempts.iter().enumerate().filter_map(move |(index, attempt)| {
            let announced = attempt.announced?;
            let before = announced.0 <= from.saturating_add(CLOCK_SLACK);
            let taken = self.serving_pull(index).is_some_and(|other| *other != pull.id);
            (before
                && !taken
                && outcomes_compatible(attempt, pull.outcome())
                && self.is_unfinished_at(index, from))
            .then_some(index)
        })
    }

    /// Reports whether this attempt had not ended before `at`.
    fn is_unfinished_at(&self, attempt: usize, at: NodeTime) -> bool {
        // The kubelet's timestamp may be truncated to seconds, so an earlier end of the pull
        // decides.
        let served_until = self.served_by.get(&attempt).and_then(|pull| pull.ended_at);
        if served_until.is_some_and(|ended| ended <= at) {
            return false;
        }
        let end = self.attempts[attempt].end.as_ref();
        end.is_none_or(|end| end.at.latest() >= at)
    }

    /// Reports whether it waited for its image while this pull ran.
    fn waited_for(&self, pull: &Pull) -> bool {
        if self.attempts.is_empty() {
            return self.previous_links.contains(&pull.id) || self.waited_by_status(pull);
        }
        self.attempts.iter().enumerate().any(|(index, attempt)| {
            let Some(announced) = attempt.announced else {
                return false;
            };
            let before = pull.ended_at.is_none_or(|ended| announced.0 <= ended);
            let is_served = self.serving_pull(index) == Some(&pull.id);
            is_served || (before && self.is_unfinished_at(index, active_since(pull)))
        })
    }

    /// Like `waited_for`, based on the pod's status alone.
    fn waited_by_status(&self, pull: &Pull) -> bool {
        match self.demand.declared.as_ref().map(|declared| &declared.status) {
            Some(ImagePresence::Waiting { .. }) => {
                pull.outcome().is_none() && self.demand.pod_removed_at.is_none()
            }
            Some(ImagePresence::Present { started_at: Some(started_at), .. }) => {
                match pull.ended_at {
                    Some(ended) => {
                        ended <= started_at.saturating_add(POLL_DELAY)
                            && started_at.since(ended) <= MAX_START_DELAY
                    }
                    // The container started before the end of the pull was reported.
                    None => *started_at >= pull.started_at,
                }
            }
            Some(ImagePresence::Present { started_at: None, .. }) | None => false,
        }
    }
}

/// Returns a time at which the pull was certainly running. A pull known from its record alone may
/// have the start time of an earlier pull of the same image, so the time of the record is used.
const fn active_since(pull: &Pull) -> NodeTime {
    match &pull.facts.id {
        PullId::Record { at, .. } => *at,
        _ => pull.facts.started_at,
    }
}

/// Reports whether an attempt may belong to a pull with this outcome.
fn outcomes_compatible(attempt: &Attempt, outcome: Option<Outcome>) -> bool {
    match (attempt.outcome(), outcome) {
        (Some(AttemptOutcome::Failed(_)), Some(Outcome::Completed)) => false,
        (Some(AttemptOutcome::Pulled { .. } | AttemptOutcome::AlreadyPresent), Some(outcome)) => {
            !matches!(outcome, Outcome::Failed | Outcome::Cancelled)
        }
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::correlate::tests::facts::{Facts, image, linked_pods};
    use crate::correlate::tests::world::{
        at, completed, lease, pod, pulled_event, pulling_event, resolved, waiting,
    };

    const APP: &str = "registry.test/shop/app:1";
    const APP_2: &str = "registry.test/shop/app:2";
    const REPOSITORY: &str = "registry.test/shop/app";

    fn announced(image: &RequestedImage, rank: MatchRank, seconds: f64) -> AnnouncedImage<'_> {
        AnnouncedImage { image, rank, at: EventTime(at(seconds)) }
    }

    #[test]
    fn pods_with_one_image_share_one_pull() {
        let facts = Facts::default()
            .event(&pulling_event("web-1", "app", APP, 1.2))
            .event(&pulling_event("web-2", "app", APP, 1.2));
        let pulls = [Arc::new(resolved(lease(1, 1.3), REPOSITORY, 'a'))];
        let attribution = facts.attribute(&pulls);
        assert_eq!(linked_pods(&attribution), [["web-1", "web-2"]]);
        let served = AttemptIndex { candidate: 0, attempt: 0 };
        assert_eq!(attribution.pulls[0].served, Some(served));
        assert_eq!(attribution.candidates[0].serving_pull(0), Some(&pulls[0].id));
        assert_eq!(attribution.candidates[1].serving_pull(0), None);
    }

    #[test]
    fn pull_serves_attempt_of_same_duration() {
        let mut facts = Facts::default();
        for (name, took) in [("web-1", 0.02), ("web-2", 5.2)] {
            facts = facts
                .event(&pulling_event(name, "app", APP, 1.2))
                .event(&pulled_event(name, "app", APP, 7.0, took, 5.4));
        }
        let pull = resolved(lease(1, 1.3), REPOSITORY, 'a');
        let pulls = [Arc::new(completed(pull, 6.5, &[APP]))];
        let attribution = facts.attribute(&pulls);
        let served = AttemptIndex { candidate: 1, attempt: 0 };
        assert_eq!(attribution.pulls[0].served, Some(served));
        let kubelet = attribution.pulls[0].links.kubelet.unwrap();
        assert_eq!(kubelet.agrees, Some(true));
    }

    #[test]
    fn exact_match_is_attributed_before_earlier_pulls() {
        let facts = Facts::default()
            .event(&pulling_event("one", "app", APP, 1.0))
            .event(&pulling_event("two", "app", APP_2, 1.0));
        let first = resolved(lease(1, 1.5), REPOSITORY, 'a');
        let second = completed(resolved(lease(2, 1.6), REPOSITORY, 'b'), 5.0, &[APP]);
        let pulls = [Arc::new(first), Arc::new(second)];
        let attribution = facts.attribute(&pulls);
        assert_eq!(linked_pods(&attribution), [["two"], ["one"]]);
    }

    #[test]
    fn pod_without_events_waits_for_only_candidate() {
        let facts = Facts::default().pod(pod("web", vec![waiting("app", APP)]));
        let pulls = [Arc::new(lease(1, 1.5)), Arc::new(resolved(lease(2, 2.0), REPOSITORY, 'a'))];
        let attribution = facts.attribute(&pulls);
        assert!(attribution.pulls[0].links.is_empty(), "its repository is not known");
        assert_eq!(attribution.pulls[1].links.pods[0].1, LinkEvidence::OnlyCandidate);
    }

    #[test]
    fn order_of_announcement_decides_in_known_mode() {
        let [app, db] = [image(APP), image("registry.test/shop/db:1")];
        let images =
            [announced(&app, MatchRank::Possible, 1.0), announced(&db, MatchRank::Possible, 5.0)];
        let event = LinkEvidence::Event;
        assert_eq!(choose_announced(&images, PullMode::Serial), Choice::One(&app, event));
        assert_eq!(choose_announced(&images, PullMode::Parallel), Choice::One(&db, event));
        let both = Choice::Ambiguous(vec![&app, &db]);
        assert_eq!(choose_announced(&images, PullMode::Unknown), both);
        let same_second =
            [announced(&app, MatchRank::Possible, 1.0), announced(&db, MatchRank::Possible, 1.0)];
        assert_eq!(choose_announced(&same_second, PullMode::Serial), both);
    }

    #[test]
    fn better_match_decides_before_order() {
        let [app, db] = [image(APP), image("registry.test/shop/db:1")];
        let images =
            [announced(&app, MatchRank::Possible, 1.0), announced(&db, MatchRank::LearnedTag, 5.0)];
        let learned = Choice::One(&db, LinkEvidence::LearnedTag);
        assert_eq!(choose_announced(&images, PullMode::Serial), learned);
    }

    #[test]
    fn unannounced_image_needs_repository_or_learned_tag() {
        let [app, app_2] = [image(APP), image(APP_2)];
        let ranked = |image, rank| RankedImage { image, rank };
        let possible = [ranked(&app, MatchRank::Possible)];
        assert_eq!(choose_unannounced(possible.iter()), Choice::None);
        let same = [ranked(&app, MatchRank::Repository), ranked(&app_2, MatchRank::Repository)];
        assert_eq!(choose_unannounced(same.iter()), Choice::Ambiguous(vec![&app, &app_2]));
        let learned = [ranked(&app, MatchRank::Repository), ranked(&app_2, MatchRank::LearnedTag)];
        let expected = Choice::One(&app_2, LinkEvidence::LearnedTag);
        assert_eq!(choose_unannounced(learned.iter()), expected);
    }
}
