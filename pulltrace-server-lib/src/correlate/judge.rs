//! Who waits for which pull of one node: a function of what is known of the node, and of nothing else.
//!
//! Pulls are looked at in the order of their starts; what the evidence names comes before what only fits.
//! A pull *serves* the try that it was begun for, and is *waited for* by all who want the same image
//! meanwhile. What was announced and is served by no pull is a row of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use pulltrace_core::{
    Failure, KubeletTimes, LinkEvidence, Links, Mono, NodeTime, Outcome, Pull, PullId, Waiter,
    WantedImage,
};

use super::fit::{Fit, KUBELETS};
use super::learned::Learned;
use super::want::{End, Key, Standing, Try, Want, next_retry};
use crate::cluster::Seen;

/// An announcement is written before its pull begins; clocks of one node are read in two processes.
const SLACK: Duration = Duration::from_millis(100);

/// How much later than it happened an end may be seen.
const LATE: Duration = Duration::from_secs(2);

/// How long before its container starts an image is there at most, where only the pod's status tells of
/// it.
const STARTS: Duration = Duration::from_mins(1);

/// How long a pod's status takes at most to follow its events.
pub(super) const STATUS_LAGS: Duration = Duration::from_secs(30);

/// Whether a kubelet pulls one image at a time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Mode {
    /// Not seen yet: one at a time is the kubelet's default.
    #[default]
    Unknown,
    /// One begins when another ends.
    Serial,
    /// Several run at once.
    Parallel,
}

/// A want, and what was computed of it.
#[derive(Debug)]
pub(super) struct Wanting<'a> {
    pub(super) key: &'a Key,
    pub(super) want: &'a Want,
    pub(super) tries: Vec<Try>,
    pub(super) standing: Standing,
    /// For each try the pull that served it, and when that ended.
    served: BTreeMap<usize, (PullId, Option<NodeTime>)>,
    /// Pulls that it was linked to before: where only its pod speaks of it, that it waited is not seen any
    /// more once they end.
    pub(super) kept: BTreeSet<PullId>,
}

/// A try that a pull served.
#[derive(Clone, Debug)]
pub(super) struct Served<'a> {
    pub(super) key: &'a Key,
    pub(super) which: Try,
}

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Found<'a> {
    pub(super) links: BTreeMap<PullId, Links>,
    pub(super) served: BTreeMap<PullId, Served<'a>>,
}

impl<'a> Wanting<'a> {
    pub(super) fn new(key: &'a Key, want: &'a Want, now: Mono) -> Self {
        let tries = want.tries();
        let standing = want.standing(&tries, now, STATUS_LAGS);
        Self {
            key,
            want,
            tries,
            standing,
            served: BTreeMap::new(),
            kept: BTreeSet::new(),
        }
    }

    /// Why its last try failed: as its kubelet said it, or else as its pod's status has it.
    pub(super) fn failure(&self) -> Option<Failure> {
        let told = self.tries.last().and_then(Try::failure);
        told.map(|(_, failure)| failure.clone()).or_else(|| {
            self.want
                .status_failure(&self.key.image)
                .filter(|_| self.tries.is_empty())
        })
    }

    pub(super) fn waiter(&self) -> Waiter {
        Waiter {
            pod: self.want.pod.clone(),
            slot: self.key.slot.clone(),
            image: self.key.image.clone(),
        }
    }

    /// The pull that served this try.
    pub(super) fn served(&self, which: usize) -> Option<&PullId> {
        self.served.get(&which).map(|(id, _)| id)
    }

    /// Says that an earlier judgement stands: the pull is not looked at any more.
    pub(super) fn settle(&mut self, at: NodeTime, pull: &PullId, ended: Option<NodeTime>) {
        let which = self.tries.iter().position(|one| one.at() == Some(at));
        if let Some(which) = which {
            self.served.insert(which, (pull.clone(), ended));
        }
    }

    /// The tries that this pull can have been begun for.
    fn own(&self, pull: &Pull) -> impl Iterator<Item = usize> + '_ {
        let (from, id, outcome) = (begun(pull), pull.id.clone(), pull.outcome());
        self.tries
            .iter()
            .enumerate()
            .filter_map(move |(index, one)| {
                let announced = one.announced?;
                let taken = self.served(index).is_some_and(|other| *other != id);
                let before = announced.0 <= from.saturating_add(SLACK);
                (before && !taken && ended_so(one, outcome) && self.goes_on_at(index, from))
                    .then_some(index)
            })
    }

    /// Whether this try was not over before `at`.
    fn goes_on_at(&self, which: usize, at: NodeTime) -> bool {
        // Its pull may be seen to end a little later than the kubelet says it.
        if let Some((_, Some(ended))) = self.served.get(&which)
            && *ended <= at
        {
            return false;
        }
        let end = self.tries[which].end.as_ref();
        end.is_none_or(|(end, _)| end.latest() >= at)
    }

    /// Whether it waited for its image while this pull ran.
    fn waited_for(&self, pull: &Pull) -> bool {
        let over = pull.ended_at;
        if self.tries.is_empty() {
            return self.kept.contains(&pull.id) || self.waits_unheard(pull);
        }
        self.tries.iter().enumerate().any(|(index, one)| {
            let Some(announced) = one.announced else {
                return false;
            };
            let before = over.is_none_or(|over| announced.0 <= over);
            let mine = self.served(index) == Some(&pull.id);
            mine || (before && self.goes_on_at(index, begun(pull)))
        })
    }

    /// The same by the pod's status alone.
    fn waits_unheard(&self, pull: &Pull) -> bool {
        match self.want.spec.as_ref().map(|spec| &spec.seen) {
            Some(Seen::Waiting { .. }) => pull.outcome().is_none() && self.want.gone.is_none(),
            Some(Seen::Present { since, .. }) => match (since, pull.ended_at) {
                (Some(since), Some(ended)) => {
                    ended <= since.saturating_add(LATE) && since.since(ended) <= STARTS
                }
                // It runs before the end was told.
                (Some(since), None) => *since >= pull.started_at,
                (None, _) => false,
            },
            None => false,
        }
    }
}

/// Finds who waits for which pull. `pulls` are in the order of their starts.
pub(super) fn judge<'a>(
    pulls: &[&Arc<Pull>],
    wants: &mut [Wanting<'a>],
    learned: &Learned,
    mode: Mode,
) -> Found<'a> {
    let mut groups: BTreeMap<&WantedImage, Vec<usize>> = BTreeMap::new();
    for (index, want) in wants.iter().enumerate() {
        groups.entry(&want.key.image).or_default().push(index);
    }
    let mut found = Found::default();
    let mut left = Vec::new();
    for pull in pulls {
        let fits: Vec<(&WantedImage, Fit)> = groups
            .keys()
            .filter_map(|image| Some((*image, Fit::of(pull, image, learned)?)))
            .collect();
        let named = fits.iter().filter(|(_, fit)| *fit >= Fit::Digest);
        let named: Vec<_> = named.copied().collect();
        if named.is_empty() {
            left.push((*pull, fits));
            continue;
        }
        for (image, fit) in named {
            let evidence = fit.evidence().unwrap_or(LinkEvidence::Digest);
            let members = groups.get(image).map_or(&[][..], Vec::as_slice);
            link(pull, members, evidence, wants, &mut found);
        }
    }
    for (pull, fits) in left {
        match choose(pull, &fits, &groups, wants, mode) {
            Choice::One(image, evidence) => {
                let members = groups.get(image).map_or(&[][..], Vec::as_slice);
                link(pull, members, evidence, wants, &mut found);
            }
            Choice::Several(images) => {
                let members = images
                    .iter()
                    .filter_map(|image| groups.get(image))
                    .flatten();
                let members = members.filter(|index| wants[**index].waited_for(pull));
                let candidates: Vec<_> = members.map(|index| wants[*index].waiter()).collect();
                found.links.entry(pull.id.clone()).or_default().candidates = candidates;
            }
            Choice::None => {}
        }
    }
    found
}

/// Whether a try can have been a pull with this end.
const fn ended_so(one: &Try, outcome: Option<Outcome>) -> bool {
    match (&one.end, outcome) {
        (Some((_, End::Failed(_))), Some(Outcome::Completed)) => false,
        (Some((_, End::Pulled { .. } | End::Present)), Some(outcome)) => {
            !matches!(outcome, Outcome::Failed | Outcome::Cancelled)
        }
        _ => true,
    }
}

enum Choice<'a> {
    None,
    One(&'a WantedImage, LinkEvidence),
    Several(Vec<&'a WantedImage>),
}

/// Which of the images that a pull fits it is, where its name is not known.
fn choose<'a>(
    pull: &Pull,
    fits: &[(&'a WantedImage, Fit)],
    groups: &BTreeMap<&WantedImage, Vec<usize>>,
    wants: &[Wanting<'_>],
    mode: Mode,
) -> Choice<'a> {
    let members = |image: &WantedImage| {
        let members = groups.get(image).map_or(&[][..], Vec::as_slice);
        members.iter().map(|index| &wants[*index])
    };
    let first = |image: &WantedImage| {
        let own = members(image).flat_map(|want| {
            let tries = want.own(pull);
            tries.filter_map(|which| want.tries[which].announced)
        });
        own.min()
    };
    let announced: Vec<_> = fits
        .iter()
        .filter_map(|(image, fit)| Some((*image, *fit, first(image)?)))
        .collect();
    if announced.is_empty() {
        // From the specs of pods alone: only where something of the pull speaks for it.
        let waited = |image| members(image).any(|want| want.waited_for(pull));
        let fits = fits.iter().filter(|(_, fit)| *fit >= Fit::Repository);
        let fits: Vec<_> = fits.filter(|(image, _)| waited(*image)).collect();
        let learned = fits.iter().any(|(_, fit)| *fit == Fit::Learned);
        let best = fits
            .iter()
            .filter(|(_, fit)| !learned || *fit == Fit::Learned);
        let best: Vec<_> = best.map(|(image, fit)| (*image, *fit)).collect();
        return match best[..] {
            [] => Choice::None,
            [(image, fit)] => {
                Choice::One(image, fit.evidence().unwrap_or(LinkEvidence::OnlyCandidate))
            }
            _ => Choice::Several(best.into_iter().map(|(image, _)| image).collect()),
        };
    }
    let best = announced.iter().map(|(_, fit, _)| *fit).max();
    let best: Vec<_> = announced
        .iter()
        .filter(|(_, fit, _)| Some(*fit) == best)
        .collect();
    let evidence = |fit: Fit| fit.evidence().unwrap_or(LinkEvidence::Event);
    if let [(image, fit, _)] = best[..] {
        return Choice::One(image, evidence(*fit));
    }
    // One at a time, they are pulled in the order of their announcements; several at once, each begins
    // at once.
    let decided = best.iter().filter(|(image, _, at)| {
        let others = best.iter().filter(|(other, ..)| other != image);
        others.clone().all(|(_, _, other)| match mode {
            Mode::Serial => at.latest() < other.0,
            Mode::Parallel => other.latest() < at.0,
            Mode::Unknown => false,
        })
    });
    let decided: Vec<_> = decided.collect();
    match decided[..] {
        [(image, fit, _)] => Choice::One(image, evidence(*fit)),
        _ => Choice::Several(best.into_iter().map(|(image, ..)| *image).collect()),
    }
}

/// Links all who want the image to the pull, and finds the try that it serves.
fn link<'a>(
    pull: &Pull,
    members: &[usize],
    evidence: LinkEvidence,
    wants: &mut [Wanting<'a>],
    found: &mut Found<'a>,
) {
    let took = pull.ended_at.map(|ended| ended.since(pull.started_at));
    let served = members
        .iter()
        .flat_map(|index| {
            let want = &wants[*index];
            want.own(pull).map(move |which| (*index, which))
        })
        .min_by_key(|(index, which)| {
            let want = &wants[*index];
            let one = &want.tries[*which];
            // Of two pods that wanted one image each has a pull: the kubelet says how long its own took.
            let apart = match (&one.end, took) {
                (
                    Some((
                        _,
                        End::Pulled {
                            took: Some(told), ..
                        },
                    )),
                    Some(took),
                ) => told.abs_diff(took).as_millis() / 500,
                _ => 0,
            };
            (apart, one.announced, want.key)
        });
    let links = found.links.entry(pull.id.clone()).or_default();
    if let Some((index, which)) = served {
        let want = &mut wants[index];
        let ended = seen_to_end(pull, &want.tries[which]);
        want.served.insert(which, (pull.id.clone(), ended));
        let one = want.tries[which].clone();
        serve(pull, want, &one, links);
        let key = want.key;
        found
            .served
            .insert(pull.id.clone(), Served { key, which: one });
    }
    for want in members.iter().map(|index| &wants[*index]) {
        let new = |(waiter, _): &(Waiter, LinkEvidence)| *waiter != want.waiter();
        if want.waited_for(pull) && links.pods.iter().all(new) {
            links.pods.push((want.waiter(), evidence));
        }
    }
    links.pods.sort();
}

/// When a pull ended for the try that it served. The agent sees it by a poll, some time later; where the
/// kubelet says how long its call took, it was over then, and the next pull may have begun before the poll.
fn seen_to_end(pull: &Pull, one: &Try) -> Option<NodeTime> {
    let seen = pull.ended_at?;
    let told = match &one.end {
        Some((_, End::Pulled { took, .. })) => *took,
        _ => None,
    };
    // The call began a little before the lease.
    let told = told.map(|took| pull.started_at.saturating_add(took.saturating_sub(SLACK)));
    Some(told.map_or(seen, |told| told.min(seen)))
}

/// When a pull was under way for sure. Where only its record was seen, it may have begun with an image that
/// was there before, so that its start is that of another pull; then it is when the record was written.
const fn begun(pull: &Pull) -> NodeTime {
    match &pull.id {
        PullId::Record { at, .. } => *at,
        _ => pull.started_at,
    }
}

/// What the try that it serves says of a pull.
fn serve(pull: &Pull, want: &Wanting<'_>, one: &Try, links: &mut Links) {
    links.attempt = Some(one.number);
    links.queued_at = one.announced.map(|at| at.0);
    links.supersedes = want.key.announced(pull.id.node(), one);
    match &one.end {
        Some((
            _,
            End::Pulled {
                took: Some(took),
                with_waiting,
                size,
            },
        )) => {
            let whole = pull.outcome() == Some(Outcome::Completed)
                && matches!(pull.id, PullId::Lease { .. });
            let ours = pull.ended_at.map(|ended| ended.since(pull.started_at));
            links.kubelet = Some(KubeletTimes {
                pulling: *took,
                with_waiting: *with_waiting,
                size: *size,
                agrees: ours.filter(|_| whole).map(|ours| agree(ours, *took)),
            });
        }
        Some((at, End::Failed(failure))) if pull.outcome().is_some() => {
            links.next_retry_at = next_retry(*at, one.number, failure);
        }
        _ => {}
    }
}

/// Whether two measurements of one pull are within 20 %, or within the second that polls may cost.
fn agree(ours: Duration, kubelets: Duration) -> bool {
    ours.abs_diff(kubelets) <= (kubelets / 5).max(Duration::from_secs(1))
}

/// Whether this kubelet pulls several at once, by two pulls that it was seen to want: the latest that
/// tells. `pulls` are in the order of their starts; `now` is by the node's clock.
pub(super) fn mode(pulls: &[&Arc<Pull>], found: &Found<'_>, before: Mode, now: NodeTime) -> Mode {
    let told: Vec<_> = pulls
        .iter()
        .filter(|pull| pull.id.namespace().as_str() == KUBELETS)
        .filter_map(|pull| Some((*pull, found.served.get(&pull.id)?)))
        .collect();
    let mut mode = before;
    for (index, (pull, served)) in told.iter().enumerate() {
        let others = told.iter().take(index);
        for (other, _) in others.filter(|(_, other)| other.key.image != served.key.image) {
            let over = other.ended_at.unwrap_or(now);
            let together = over
                .min(pull.ended_at.unwrap_or(now))
                .since(pull.started_at);
            let waited = served.which.announced.is_some_and(|at| {
                at.latest() > other.started_at
                    && pull.started_at.since(at.latest()) >= Duration::from_millis(500)
            });
            if together > LATE {
                mode = Mode::Parallel;
            } else if waited && other.ended_at.is_some() && pull.started_at.since(over) <= LATE {
                mode = Mode::Serial;
            }
        }
    }
    mode
}
