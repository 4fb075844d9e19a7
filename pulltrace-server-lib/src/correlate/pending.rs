//! Delays the counting of unexplained ends until the kubelet has had time to give a reason.

use std::collections::VecDeque;
use std::time::Duration;

use pulltrace_core::{FailureReason, Links, Mono, Outcome, PullId};

use super::delta::ShownPull;
use crate::change::EndedPull;

/// Time that an end waits for the kubelet's reason.
const MAX_WAIT: Duration = Duration::from_secs(10);

/// Maximum number of waiting ends; beyond it, the oldest is counted without waiting.
const MAX_PENDING: usize = 16_384;

/// Ends that are not counted yet, in order of their arrival.
#[derive(Debug, Default)]
pub(super) struct PendingOutcomes(VecDeque<PendingEnd>);

#[derive(Debug)]
struct PendingEnd {
    since: Mono,
    end: EndedPull,
}

impl PendingOutcomes {
    /// Takes unexplained ends out of `ends`, if events may still explain them.
    pub(super) fn defer_unexplained(
        &mut self,
        ends: &mut Vec<EndedPull>,
        events_live: bool,
        now: Mono,
    ) {
        if !events_live {
            return;
        }
        let is_unexplained = |end: &mut EndedPull| end.reason == Some(FailureReason::Unexplained);
        let unexplained = ends.extract_if(.., is_unexplained);
        self.0.extend(unexplained.map(|end| PendingEnd { since: now, end }));
    }

    /// Adds the end of an announced row, which may still turn out to be a pull of the fleet.
    pub(super) fn push(&mut self, end: EndedPull, now: Mono) {
        self.0.push_back(PendingEnd { since: now, end });
    }

    /// Moves the ends that need no further waiting to `ends`. `shown` returns a pull as shown.
    pub(super) fn release<'a>(
        &mut self,
        shown: &impl Fn(&PullId) -> Option<&'a ShownPull>,
        ends: &mut Vec<EndedPull>,
        now: Mono,
    ) {
        for end in ends.iter_mut() {
            if let Some(links) = shown(&end.id).and_then(|shown| shown.links.as_ref()) {
                set_queue_time(end, links);
            }
        }
        let mut waiting = VecDeque::new();
        let mut left = self.0.len();
        while let Some(PendingEnd { since, mut end }) = self.0.pop_front() {
            left -= 1;
            let announced = matches!(end.id, PullId::Announced { .. });
            let due = now.since(since) >= MAX_WAIT || left + waiting.len() >= MAX_PENDING;
            let Some(ShownPull { pull, links }) = shown(&end.id) else {
                // An announced row was superseded by a pull that is counted itself; other rows were
                // evicted.
                if !announced {
                    ends.push(end);
                }
                continue;
            };
            let reason = pull.failure.as_ref().map(|failure| failure.reason);
            let known = reason != Some(FailureReason::Unexplained) && !announced;
            if !known && !due {
                waiting.push_back(PendingEnd { since, end });
                continue;
            }
            end.outcome = pull.outcome().unwrap_or(Outcome::Unknown);
            end.reason = reason;
            if let Some(links) = links {
                set_queue_time(&mut end, links);
            }
            ends.push(end);
        }
        self.0 = waiting;
    }
}

/// Adds the time in the kubelet's queue.
fn set_queue_time(end: &mut EndedPull, links: &Links) {
    let queued = links.queued_at.filter(|at| *at <= end.started_at);
    end.queued = queued.map(|at| end.started_at.since(at));
}
