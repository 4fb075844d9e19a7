//! Ends are counted once: those of which nobody said why wait a little for the kubelet's word.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use pulltrace_core::{FailureReason, Links, Mono, Outcome, Pull, PullId};

use crate::change::Ended;

/// How long an end waits for the kubelet's word.
const WAITS: Duration = Duration::from_secs(10);

/// The most ends that wait; beyond, the oldest counts as it is.
const MOST: usize = 16_384;

/// Ends that wait.
#[derive(Debug, Default)]
pub(super) struct Hold(VecDeque<(Mono, Ended)>);

impl Hold {
    /// Takes those of which nobody said why, where somebody may.
    pub(super) fn take(&mut self, ends: &mut Vec<Ended>, listening: bool, now: Mono) {
        if !listening {
            return;
        }
        let unsaid = |end: &Ended| end.reason == Some(FailureReason::Unexplained);
        for end in std::mem::take(ends) {
            if unsaid(&end) {
                self.0.push_back((now, end));
            } else {
                ends.push(end);
            }
        }
    }

    /// Takes the end of what was only ever announced: that may turn out to be a pull that was seen.
    pub(super) fn wait(&mut self, end: Ended, now: Mono) {
        self.0.push_back((now, end));
    }

    /// Gives back what need not wait any more. `shown` finds a pull as it is shown.
    pub(super) fn release(
        &mut self,
        shown: &impl Fn(&PullId) -> Option<(Arc<Pull>, Option<Arc<Links>>)>,
        ends: &mut Vec<Ended>,
        now: Mono,
    ) {
        for end in ends.iter_mut() {
            if let Some((_, Some(links))) = shown(&end.id) {
                add(end, &links);
            }
        }
        let mut waiting = VecDeque::new();
        let mut left = self.0.len();
        while let Some((since, mut end)) = self.0.pop_front() {
            left -= 1;
            let announced = matches!(end.id, PullId::Announced { .. });
            let due = now.since(since) >= WAITS || left + waiting.len() >= MOST;
            let Some((pull, links)) = shown(&end.id) else {
                // What was announced became a pull that counts for itself; of others the row was evicted.
                if !announced {
                    ends.push(end);
                }
                continue;
            };
            let reason = pull.failure.as_ref().map(|failure| failure.reason);
            let known = reason != Some(FailureReason::Unexplained) && !announced;
            if !known && !due {
                waiting.push_back((since, end));
                continue;
            }
            end.outcome = pull.outcome().unwrap_or(Outcome::Unknown);
            end.reason = reason;
            if let Some(links) = links {
                add(&mut end, &links);
            }
            ends.push(end);
        }
        self.0 = waiting;
    }
}

/// What Kubernetes knows of an end.
fn add(end: &mut Ended, links: &Links) {
    let queued = links.queued_at.filter(|at| *at <= end.started_at);
    end.queued = queued.map(|at| end.started_at.since(at));
}
