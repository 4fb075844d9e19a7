//! Does the kubelet of a node pull images one at a time? Compares the times of its pulls.

use std::time::Duration;

use pulltrace_core::{NodeTime, RequestedImage};

use super::attempt::EventTime;

/// Maximum delay until the agent observes an end.
pub(super) const POLL_DELAY: Duration = Duration::from_secs(2);

/// Minimum time from the announcement to the start of a pull that waited for another one.
const MIN_WAIT: Duration = Duration::from_millis(500);

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

/// A pull that the kubelet requested.
#[derive(Clone, Copy, Debug)]
pub(super) struct RequestedPull<'a> {
    pub(super) image: &'a RequestedImage,
    pub(super) announced: Option<EventTime>,
    pub(super) started_at: NodeTime,
    pub(super) ended_at: Option<NodeTime>,
}

/// Detects the mode by comparing pairs of pulls; the latest conclusive pair decides. `pulls` must
/// be sorted by start time; `now` is the node's time.
pub(super) fn detect(pulls: &[RequestedPull<'_>], before: PullMode, now: NodeTime) -> PullMode {
    let mut mode = before;
    for (index, later) in pulls.iter().enumerate() {
        for earlier in pulls.iter().take(index).filter(|earlier| earlier.image != later.image) {
            mode = compare(*earlier, *later, now).unwrap_or(mode);
        }
    }
    mode
}

/// Returns the mode that two pulls of different images show, or `None` if both are possible.
fn compare(
    earlier: RequestedPull<'_>,
    later: RequestedPull<'_>,
    now: NodeTime,
) -> Option<PullMode> {
    let earlier_end = earlier.ended_at.unwrap_or(now);
    let both_until = earlier_end.min(later.ended_at.unwrap_or(now));
    if both_until.since(later.started_at) > POLL_DELAY {
        return Some(PullMode::Parallel);
    }
    let waited = later.announced.is_some_and(|at| {
        at.latest() > earlier.started_at && later.started_at.since(at.latest()) >= MIN_WAIT
    });
    let started_at_end =
        earlier.ended_at.is_some() && later.started_at.since(earlier_end) <= POLL_DELAY;
    (waited && started_at_end).then_some(PullMode::Serial)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::correlate::tests::facts::image;
    use crate::correlate::tests::world::at;

    fn pull(
        image: &RequestedImage,
        announced: f64,
        started: f64,
        ended: Option<f64>,
    ) -> RequestedPull<'_> {
        RequestedPull {
            image,
            announced: Some(EventTime(at(announced))),
            started_at: at(started),
            ended_at: ended.map(at),
        }
    }

    fn detected(pulls: &[RequestedPull<'_>]) -> PullMode {
        detect(pulls, PullMode::Unknown, at(60.0))
    }

    #[test]
    fn pulls_at_the_same_time_show_parallel_kubelet() {
        let [app, db] = [image("app:1"), image("db:1")];
        let pulls = [pull(&app, 1.0, 1.1, None), pull(&db, 1.0, 1.2, None)];
        assert_eq!(detected(&pulls), PullMode::Parallel);
    }

    #[test]
    fn back_to_back_pulls_mean_serial_kubelet() {
        let [app, db] = [image("app:1"), image("db:1")];
        let pulls = [pull(&app, 1.0, 1.1, Some(9.0)), pull(&db, 1.0, 9.1, None)];
        assert_eq!(detected(&pulls), PullMode::Serial);
    }

    #[test]
    fn unrelated_pulls_leave_mode_unchanged() {
        let [app, db] = [image("app:1"), image("db:1")];
        let apart = [pull(&app, 1.0, 1.1, Some(3.0)), pull(&db, 20.0, 20.1, Some(22.0))];
        assert_eq!(detected(&apart), PullMode::Unknown);
        let same = [pull(&app, 1.0, 1.1, None), pull(&app, 1.0, 1.2, None)];
        assert_eq!(detected(&same), PullMode::Unknown);
        assert_eq!(detect(&same, PullMode::Serial, at(60.0)), PullMode::Serial);
    }

    #[test]
    fn latest_conclusive_pair_decides() {
        let [app, db, web] = [image("app:1"), image("db:1"), image("web:1")];
        let pulls = [
            pull(&app, 1.0, 1.1, Some(9.0)),
            pull(&db, 1.0, 9.1, Some(30.0)),
            pull(&web, 10.0, 11.0, Some(31.0)),
        ];
        assert_eq!(detected(&pulls), PullMode::Parallel);
    }
}
