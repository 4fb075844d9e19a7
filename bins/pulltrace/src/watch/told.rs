//! What a server has told: which of it is to be shown, and what may be believed after the server was
//! away. Everything is a function of what was told and of the time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use pulltrace_client::{Filter, Followed};
use pulltrace_core::wire::v1::{Phase, PullList, PullStatus};
use pulltrace_core::{Mono, NodeTime, Now, Outcome, Pull, PullId};

use crate::cli::ServerArgs;

/// A pull that went on when the server was lost, and that the server has not told of for so long since
/// it is back, has ended with nobody knowing how.
const UNHEARD: Duration = Duration::from_secs(60);

/// Whether there was news of a pull that is worth showing at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum News {
    /// It can wait for a moment.
    Later,
    /// A pull started or ended.
    AtOnce,
}

/// What a server says.
#[derive(Debug)]
pub(super) enum Said {
    /// All that it knows; what follows begins there.
    All(PullList),
    /// What happened since, or that it is away.
    Followed(Followed),
}

/// What a server has told.
#[derive(Debug)]
pub(super) struct Told {
    phases: Vec<Phase>,
    /// Changed and not shown yet; each in its latest state.
    waiting: BTreeMap<String, PullStatus>,
    /// Live and shown. A pull that leaves the phases that are asked for leaves here.
    shown: BTreeSet<String>,
    /// Shown as live, and not known to the server that came back; since when.
    unheard: BTreeMap<String, Mono>,
    /// Those of them that are not shown so yet.
    doubted: Vec<String>,
    /// The server's clock, and when it was told.
    clock: Option<(NodeTime, Mono)>,
}

impl Told {
    pub(super) fn new(phases: Vec<Phase>) -> Self {
        Self {
            phases,
            waiting: BTreeMap::new(),
            shown: BTreeSet::new(),
            unheard: BTreeMap::new(),
            doubted: Vec::new(),
            clock: None,
        }
    }

    /// Takes what the server says. `None` where nothing of it is to be shown.
    pub(super) fn take(&mut self, said: Said, at: Mono) -> Option<News> {
        match said {
            Said::All(list) => {
                self.clock = Some((list.now, at));
                // A server that was restarted knows nothing until its agents have told it.
                let before = self.shown.iter().map(|id| (id.clone(), at));
                self.unheard = before.collect();
                for pull in list.pulls {
                    self.pull(pull);
                }
                self.doubted = self.unheard.keys().cloned().collect();
                Some(News::AtOnce)
            }
            Said::Followed(Followed::Event(event)) => {
                self.clock = Some((event.timestamp, at));
                self.pull(event.pull?)
            }
            Said::Followed(Followed::SnapshotEnd(place) | Followed::Ping(place)) => {
                self.clock = Some((place.now, at));
                None
            }
            Said::Followed(_) => None,
        }
    }

    fn pull(&mut self, status: PullStatus) -> Option<News> {
        self.unheard.remove(&status.id);
        if let Some(before) = &status.supersedes {
            // It is that one, under another id.
            self.unheard.remove(before);
            self.shown.remove(before);
            self.waiting.remove(before);
            self.doubted.retain(|id| id != before);
        }
        let wanted = self.is_wanted(&status);
        let ended = status.outcome.is_some();
        let known = if ended || !wanted {
            self.shown.remove(&status.id)
        } else {
            !self.shown.insert(status.id.clone())
        };
        // Whoever saw it begin sees it end, and one that is wanted no more goes.
        if !wanted && !known {
            return None;
        }
        let news = if ended || !known {
            News::AtOnce
        } else {
            News::Later
        };
        self.waiting.insert(status.id.clone(), status);
        Some(news)
    }

    /// Whether the pull is in a phase that is asked for.
    fn is_wanted(&self, status: &PullStatus) -> bool {
        self.phases.is_empty() || self.phases.contains(&status.phase)
    }

    /// Whether the pull is live, and was shown in a phase that it has left.
    pub(super) fn is_gone(&self, status: &PullStatus) -> bool {
        status.outcome.is_none() && !self.is_wanted(status)
    }

    /// All that is to be shown now.
    pub(super) fn changed(&mut self) -> Vec<PullStatus> {
        std::mem::take(&mut self.waiting).into_values().collect()
    }

    /// The pulls of which it is not known any more whether they go on.
    pub(super) fn doubted(&mut self) -> Vec<PullId> {
        let doubted = std::mem::take(&mut self.doubted);
        doubted.iter().filter_map(|id| id.parse().ok()).collect()
    }

    /// The pulls of which nobody will know how they ended.
    pub(super) fn unheard(&mut self, at: Mono) -> Vec<PullId> {
        let over = |since: &Mono| at.since(*since) >= UNHEARD;
        let gone = self.unheard.iter().filter(|(_, since)| over(since));
        let gone: Vec<String> = gone.map(|(id, _)| id.clone()).collect();
        for id in &gone {
            self.unheard.remove(id);
            self.shown.remove(id);
        }
        gone.iter().filter_map(|id| id.parse().ok()).collect()
    }

    /// The server's time; this machine's, until it told its own.
    pub(super) fn now(&self, here: Now) -> NodeTime {
        self.clock.map_or(here.node, |(told, at)| {
            told.saturating_add(here.mono.since(at))
        })
    }
}

/// A pull that nobody sees any more.
pub(super) fn unseen(pull: &Pull, now: NodeTime) -> Pull {
    let mut unseen = pull.clone();
    unseen.stale_since = pull.stale_since.or(Some(now));
    (unseen.rate, unseen.eta) = (None, None);
    (unseen.waiting_on, unseen.stalled_since) = (None, None);
    unseen
}

/// A pull of which it is not known how, and whether, it ended.
pub(super) fn lost(pull: &Pull, now: NodeTime) -> Pull {
    let mut lost = unseen(pull, now);
    lost.phase = pulltrace_core::Phase::Ended(Outcome::Unknown);
    lost.ended_at = Some(now);
    lost
}

/// What is listed first.
pub(super) fn of_list(args: &ServerArgs) -> Filter {
    args.phase.iter().copied().fold(of_all(args), Filter::phase)
}

/// What is followed from there. Whoever asks for live phases must also hear that a pull has left them.
pub(super) fn of_stream(args: &ServerArgs) -> Filter {
    if args.phase.iter().all(|phase| is_end(*phase)) {
        of_list(args)
    } else {
        of_all(args)
    }
}

fn of_all(args: &ServerArgs) -> Filter {
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

const fn is_end(phase: Phase) -> bool {
    matches!(
        phase,
        Phase::Completed | Phase::Failed | Phase::Cancelled | Phase::Unknown
    )
}

#[cfg(test)]
mod tests;
