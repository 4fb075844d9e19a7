//! What was announced and is served by no pull: it waits in the kubelet's queue, failed before it began,
//! or was pulled where nobody looks.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use pulltrace_core::{
    LinkEvidence, Links, NodeName, NodeTime, Outcome, Percent, Phase, Pull, PullId, WaitingKind,
    WaitingOn, WantedImage,
};

use super::fit::KUBELETS;
use super::judge::{Found, Mode, Wanting};
use super::want::{End, Standing, Try, next_retry};
use crate::clock::ServerNow;

/// How long an announcement waits for its pull to be seen before it is a row, where nothing says that it
/// must wait: an agent's first look may take so long.
pub(super) const GRACE: Duration = Duration::from_millis(2_500);

/// How long an announcement of a pod that is gone is still believed.
const GONE_FOR: Duration = Duration::from_mins(5);

/// What is known of the node around its announcements.
#[derive(Clone, Copy, Debug)]
pub(super) struct Around {
    pub(super) mode: Mode,
    /// Whether an agent sees the pulls of the node.
    pub(super) seen: bool,
    /// Whether pods are heard of.
    pub(super) pods: bool,
    pub(super) now: ServerNow,
    /// How long an announcement without news is kept.
    pub(super) ttl: Duration,
}

/// The rows of what no pull serves: one for each image. `pulls` are in the order of their starts; `fresh`
/// are those of which the end was only just heard, and the kubelet's word may be under way.
pub(super) fn rows(
    node: &NodeName,
    pulls: &[&Arc<Pull>],
    wants: &[Wanting<'_>],
    found: &Found<'_>,
    around: Around,
    fresh: impl Fn(&PullId) -> bool,
) -> BTreeMap<PullId, (Pull, Links)> {
    let live: Vec<&Arc<Pull>> = pulls
        .iter()
        .filter(|pull| pull.outcome().is_none() && pull.id.namespace().as_str() == KUBELETS)
        .copied()
        .collect();
    // Whoever wants an image that is being pulled waits for that pull.
    let ended = pulls.iter().filter(|pull| fresh(&pull.id));
    let pulled: BTreeSet<&WantedImage> = live
        .iter()
        .chain(ended)
        .filter_map(|pull| found.links.get(&pull.id))
        .flat_map(|links| links.pods.iter().map(|(waiter, _)| &waiter.image))
        .collect();
    let completed = pulls
        .iter()
        .filter(|pull| pull.outcome() == Some(Outcome::Completed));
    let completed: Vec<_> = completed
        .filter_map(|pull| Some((pull.ended_at?, found.links.get(&pull.id)?)))
        .collect();
    // What was brought since it was announced is there, whatever its kubelet still asks for.
    let brought = |want: &Wanting<'_>, one: &Try| {
        let since = one.announced.filter(|_| one.is_open());
        let later = completed
            .iter()
            .filter(|(ended, _)| since.is_some_and(|at| at.0 <= *ended));
        let mut waiters = later.flat_map(|(_, links)| &links.pods);
        waiters.any(|(waiter, _)| *waiter == want.waiter())
    };
    let mut groups: BTreeMap<&WantedImage, Vec<(&Wanting<'_>, &Try)>> = BTreeMap::new();
    for want in wants.iter().filter(|w| !pulled.contains(&w.key.image)) {
        if let Some(last) = want.tries.last()
            && want.served(want.tries.len() - 1).is_none()
            && !brought(want, last)
        {
            groups
                .entry(&want.key.image)
                .or_default()
                .push((want, last));
        }
    }
    let mut rows: Vec<Row<'_>> = groups
        .into_values()
        .filter_map(|members| Row::of(&members, around))
        .collect();
    rows.sort_by_key(|row| (row.one.at(), row.leader.key));
    let mut queue = 0;
    let mut written = BTreeMap::new();
    for row in rows {
        let queued = row.state == State::Queued;
        let shown = row.shown(node, &live, queue, around);
        queue += u32::from(queued);
        let members = wants.iter().filter(|w| w.key.image == row.leader.key.image);
        if let Some((pull, mut links)) = shown {
            links.pods = members
                .filter(|want| want.standing != Standing::Present && want.want.gone.is_none())
                .map(|want| (want.waiter(), LinkEvidence::Event))
                .collect();
            if links.pods.is_empty() {
                links.pods = vec![(row.leader.waiter(), LinkEvidence::Event)];
            }
            written.insert(pull.id.clone(), (pull, links));
        }
    }
    written
}

/// Whether a row had its name from an end of which the announcement was heard only later: it goes on under
/// that one's name.
pub(super) fn renamed(id: &PullId, wants: &[Wanting<'_>]) -> bool {
    let PullId::Announced { pod, slot, at, .. } = id else {
        return false;
    };
    let its = wants
        .iter()
        .filter(|w| w.key.uid == *pod && w.key.slot == *slot);
    let mut renamed = false;
    for one in its.flat_map(|want| &want.tries) {
        if one.at() == Some(*at) {
            return false;
        }
        renamed |= one.end.as_ref().is_some_and(|(end, _)| end.0 == *at);
    }
    renamed
}

/// An announced row that is not found any more, with its end: as its kubelet told it, or without evidence.
pub(super) fn over(pull: &Pull, wants: &[Wanting<'_>], now: NodeTime) -> Option<Pull> {
    let PullId::Announced { pod, slot, at, .. } = &pull.id else {
        return None;
    };
    if pull.outcome().is_some() {
        return Some(pull.clone());
    }
    let its = wants
        .iter()
        .filter(|w| w.key.uid == *pod && w.key.slot == *slot);
    let its = its.flat_map(|want| &want.tries);
    let end = its
        .filter(|one| one.at() == Some(*at))
        .find_map(|one| one.end.as_ref());
    let mut over = pull.clone();
    (over.waiting_on, over.stale_since) = (None, None);
    let (at, outcome) = match end {
        Some((at, End::Pulled { .. } | End::Present)) => {
            over.percent = Some(Percent::DONE);
            (at.0, Outcome::Completed)
        }
        Some((at, End::Failed(failure))) => {
            over.failure = Some(failure.clone());
            (at.0, Outcome::Failed)
        }
        None => (now, Outcome::Unknown),
    };
    over.phase = Phase::Ended(outcome);
    over.ended_at = Some(at.max(pull.started_at));
    Some(over)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Queued,
    Failed,
    Completed,
}

/// What one image's announcements come to.
#[derive(Debug)]
struct Row<'a> {
    leader: &'a Wanting<'a>,
    one: &'a Try,
    state: State,
}

impl<'a> Row<'a> {
    fn of(members: &[(&'a Wanting<'a>, &'a Try)], around: Around) -> Option<Self> {
        let first = |wanted: &dyn Fn(&Wanting<'_>, &Try) -> bool| {
            let fits = members.iter().filter(|(want, one)| wanted(want, one));
            fits.min_by_key(|(want, one)| (one.at(), want.key)).copied()
        };
        let news = |want: &Wanting<'_>| {
            // What was listed is believed of a pod that is there: the others were long over.
            let there = want.want.live || want.want.spec.is_some() || !around.pods;
            there && around.now.mono.since(want.want.news) < around.ttl
        };
        let gone = |want: &Wanting<'_>| {
            let since = want.want.gone;
            since.is_some_and(|since| around.now.mono.since(since) >= GONE_FOR)
        };
        let open = first(&|want, one| {
            one.is_open() && matches!(want.standing, Standing::Open(_)) && news(want) && !gone(want)
        });
        if let Some((leader, one)) = open {
            let state = State::Queued;
            return Some(Self { leader, one, state });
        }
        // The one that failed first stays the one that the row is of.
        let failed = members
            .iter()
            .filter(|(want, _)| matches!(want.standing, Standing::Failed(_)) && news(want))
            .min_by_key(|(want, _)| (want.tries.first().and_then(Try::at), want.key));
        if let Some((leader, one)) = failed.copied() {
            let state = State::Failed;
            return Some(Self { leader, one, state });
        }
        let pulled = first(&|want, one| {
            matches!(one.end, Some((_, End::Pulled { .. }))) && news(want) && !around.seen
        });
        pulled.map(|(leader, one)| Self {
            leader,
            one,
            state: State::Completed,
        })
    }

    fn shown(
        &self,
        node: &NodeName,
        live: &[&Arc<Pull>],
        queue: u32,
        around: Around,
    ) -> Option<(Pull, Links)> {
        let (want, one) = (self.leader, self.one);
        let id = want.key.announced(node, one)?;
        let at = one.at()?;
        let waits = around.mode == Mode::Serial && !live.is_empty();
        let heard = around.now.mono.since(want.want.announced);
        if self.state != State::Failed && !waits && heard < GRACE {
            return None;
        }
        let mut pull = Pull::new(id, Phase::Queued, at);
        if let Some(name) = want.key.image.named() {
            pull.names = vec![name.clone()];
            pull.repository = Some(name.repository());
        }
        let which = want.tries.len() - 1;
        let before = which.checked_sub(1);
        let before = before.filter(|before| want.served(*before).is_none());
        let mut links = Links {
            attempt: Some(one.number),
            queued_at: one.announced.map(|at| at.0),
            supersedes: before.and_then(|before| want.key.announced(node, &want.tries[before])),
            ..Links::default()
        };
        match (self.state, &one.end) {
            (State::Failed, Some((end, End::Failed(failure)))) => {
                pull.failure = Some(failure.clone());
                pull.phase = Phase::Ended(Outcome::Failed);
                pull.ended_at = Some(end.0.max(at));
                links.next_retry_at = next_retry(*end, one.number, failure);
            }
            (State::Completed, Some((end, End::Pulled { took, .. }))) => {
                pull.phase = Phase::Ended(Outcome::Completed);
                pull.percent = Some(Percent::DONE);
                pull.ended_at = Some(end.0.max(at));
                if let Some(took) = took {
                    pull.started_at = end.0.saturating_sub(*took).max(at);
                }
            }
            // Nobody sees what the runtime does there.
            _ if !around.seen => {
                pull.phase = Phase::Resolving;
                pull.stale_since = Some(at);
            }
            _ => {
                let first = live.first();
                let before = u32::try_from(live.len()).unwrap_or(u32::MAX);
                let mut waiting = WaitingOn::new(WaitingKind::KubeletQueue, at);
                waiting.pull = first.map(|pull| pull.id.clone());
                waiting.left = first.and_then(|pull| pull.eta).map(|eta| eta.left);
                waiting.ahead = Some(before.saturating_add(queue));
                pull.waiting_on = Some(waiting);
            }
        }
        Some((pull, links))
    }
}
