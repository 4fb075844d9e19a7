//! From a node's clock to the server's: what readers see is never in two times at once.

use std::time::Duration;

use pulltrace_core::wire::v1::{LayerStatus, PullStatus, WaitingOn};
use pulltrace_core::{Links, Mono, Pull};

use crate::change::Correction;

/// The smallest difference is taken over the last one to two of these.
const WINDOW: Duration = Duration::from_mins(10);

/// How far the server's clock is ahead of a node's: the smallest (receive − sent), since a report can
/// be late but not early.
///
/// Only the last 10 to 20 minutes count, so that a clock that was set is followed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Offset {
    begun: Mono,
    before: i64,
    since: i64,
    shown: Correction,
}

impl Offset {
    pub(crate) fn new(difference_ms: i64, now: Mono) -> Self {
        Self {
            begun: now,
            before: i64::MAX,
            since: difference_ms,
            shown: Correction::of(difference_ms),
        }
    }

    /// Takes the difference of one more report.
    pub(crate) fn take(&mut self, difference_ms: i64, now: Mono) {
        if now.since(self.begun) >= WINDOW {
            (self.before, self.since, self.begun) = (self.since, i64::MAX, now);
        }
        self.since = self.since.min(difference_ms);
        // An offset near a whole second must not make all times flicker.
        if self
            .millis()
            .abs_diff(self.shown.seconds().saturating_mul(1_000))
            >= 1_000
        {
            self.shown = Correction::of(self.millis());
        }
    }

    pub(crate) fn millis(&self) -> i64 {
        self.since.min(self.before)
    }

    pub(crate) const fn correction(&self) -> Correction {
        self.shown
    }
}

/// What people read of a pull and of who waits for it, with its times on the server's clock.
///
/// ```
/// # use pulltrace_core::{Limits, Mono, NodeTime, Now, Observation, PullId, PullTable};
/// use pulltrace_server_lib::fleet::{Correction, status};
/// # let now = Now { mono: Mono::default(), node: "2026-11-24T20:00:00Z".parse()? };
/// # let pull = PullId::Lease {
/// #     node: "worker-1".parse()?,
/// #     namespace: "k8s.io".parse()?,
/// #     lease: "123456789-abcd".parse()?,
/// #     created: now.node,
/// # };
/// # let mut table = PullTable::new(Limits::default());
/// # let changes = table.apply(&[Observation::Began { pull, at: now.node }], now);
/// let shown = status(&changes[0].pull, None, Correction::of(90_000));
/// assert_eq!(shown.started_at.to_string(), "2026-11-24T20:01:30Z");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub fn status(pull: &Pull, links: Option<&Links>, correction: Correction) -> PullStatus {
    corrected(linked(pull, links), correction)
}

fn linked(pull: &Pull, links: Option<&Links>) -> PullStatus {
    match links {
        Some(links) => PullStatus::from((pull, links)),
        None => PullStatus::from(pull),
    }
}

/// The same without its layers, which are most of it.
pub(crate) fn status_bare(
    pull: &Pull,
    links: Option<&Links>,
    correction: Correction,
) -> PullStatus {
    // Layers are many times cheaper to copy than to write.
    let mut status = linked(&super::merge::bare(pull), links);
    if !pull.layers.is_empty() {
        let done = pull.layers.iter().filter(|layer| layer.state.is_done());
        status.layers_done = Some(done.count() as u64);
    }
    corrected(status, correction)
}

fn corrected(mut status: PullStatus, correction: Correction) -> PullStatus {
    if correction == Correction::NONE {
        return status;
    }
    status.started_at = correction.apply(status.started_at);
    if let Some(failure) = &mut status.failure {
        failure.next_retry_at = failure.next_retry_at.map(|at| correction.apply(at));
    }
    for at in [
        &mut status.queued_at,
        &mut status.downloading_at,
        &mut status.extracting_at,
        &mut status.completed_at,
        &mut status.stalled_since,
        &mut status.stale_since,
    ] {
        *at = at.map(|at| correction.apply(at));
    }
    let wait = |wait: &mut Option<WaitingOn>| {
        if let Some(wait) = wait {
            wait.since = correction.apply(wait.since);
        }
    };
    wait(&mut status.waiting_on);
    for layer in &mut status.layers {
        let LayerStatus {
            waiting_on,
            started_at,
            downloaded_at,
            extracting_at,
            completed_at,
            ..
        } = layer;
        wait(waiting_on);
        for at in [started_at, downloaded_at, extracting_at, completed_at] {
            *at = at.map(|at| correction.apply(at));
        }
    }
    status
}
