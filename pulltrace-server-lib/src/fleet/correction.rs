//! The clock offset of a node, and wire types with times on the server's clock.

use std::time::Duration;

use pulltrace_core::wire::v1::{LayerStatus, PullStatus, WaitingOn};
use pulltrace_core::{Links, Mono, Pull};

use crate::change::Correction;

/// The offset is the minimum over the last one to two of these.
const WINDOW: Duration = Duration::from_mins(10);

/// The offset of the server's clock from a node's: the smallest difference between receive and send
/// time, since a report can be late but not early.
///
/// Only the last 10 to 20 minutes count, so that changes of a clock are followed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClockOffset {
    window_start: Mono,
    previous_min: i64,
    current_min: i64,
    correction: Correction,
}

impl ClockOffset {
    pub(crate) fn new(difference_ms: i64, now: Mono) -> Self {
        Self {
            window_start: now,
            previous_min: i64::MAX,
            current_min: difference_ms,
            correction: Correction::from_millis(difference_ms),
        }
    }

    /// Adds the difference of a report.
    pub(crate) fn sample(&mut self, difference_ms: i64, now: Mono) {
        if now.since(self.window_start) >= WINDOW {
            (self.previous_min, self.current_min, self.window_start) =
                (self.current_min, i64::MAX, now);
        }
        self.current_min = self.current_min.min(difference_ms);
        // An offset near a whole second must not make all times flicker.
        if self.millis().abs_diff(self.correction.seconds().saturating_mul(1_000)) >= 1_000 {
            self.correction = Correction::from_millis(self.millis());
        }
    }

    pub(crate) fn millis(&self) -> i64 {
        self.current_min.min(self.previous_min)
    }

    pub(crate) const fn correction(&self) -> Correction {
        self.correction
    }
}

/// Returns the wire type of a pull and its links, with times on the server's clock.
///
/// ```
/// # use pulltrace_core::{Limits, Mono, NodeTime, Now, PullFact, PullId, PullTable};
/// use pulltrace_server_lib::change::Correction;
/// use pulltrace_server_lib::fleet::pull_status;
/// # let now = Now { mono: Mono::default(), node: "2026-11-24T20:00:00Z".parse()? };
/// # let pull = PullId::Lease {
/// #     node: "worker-1".parse()?,
/// #     namespace: "k8s.io".parse()?,
/// #     lease: "123456789-abcd".parse()?,
/// #     created: now.node,
/// # };
/// # let mut table = PullTable::new(Limits::default());
/// # let changes = table.apply(&[PullFact::Started { at: now.node }.of(pull)], now);
/// let status = pull_status(&changes[0].pull, None, Correction::from_millis(90_000));
/// assert_eq!(status.started_at.to_string(), "2026-11-24T20:01:30Z");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub fn pull_status(pull: &Pull, links: Option<&Links>, correction: Correction) -> PullStatus {
    apply_correction(status_with_links(pull, links), correction)
}

fn status_with_links(pull: &Pull, links: Option<&Links>) -> PullStatus {
    match links {
        Some(links) => PullStatus::from((pull, links)),
        None => PullStatus::from(pull),
    }
}

/// Like [`pull_status`], without the layers, which are most of it.
pub(crate) fn pull_status_without_layers(
    pull: &Pull,
    links: Option<&Links>,
    correction: Correction,
) -> PullStatus {
    // Layers are many times cheaper to copy than to convert.
    let mut status = status_with_links(&super::merge::without_layers(pull), links);
    if !pull.layers.is_empty() {
        let done = pull.layers.iter().filter(|layer| layer.state.is_done());
        status.layers_done = Some(done.count() as u64);
    }
    apply_correction(status, correction)
}

fn apply_correction(mut status: PullStatus, correction: Correction) -> PullStatus {
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
            waiting_on, started_at, downloaded_at, extracting_at, completed_at, ..
        } = layer;
        wait(waiting_on);
        for at in [started_at, downloaded_at, extracting_at, completed_at] {
            *at = at.map(|at| correction.apply(at));
        }
    }
    status
}
