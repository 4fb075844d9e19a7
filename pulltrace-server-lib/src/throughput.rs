//! The download rate of all nodes together, for the chart on the page.
//!
//! It is sampled at a fixed interval, and not when a report is received.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pulltrace_core::wire::v1::{self, NodeState};
use pulltrace_core::{Mono, NodeTime};

use crate::change::NodeView;
use crate::clock::ServerNow;

/// The sampling interval.
pub(crate) const STEP: Duration = Duration::from_secs(2);

/// Maximum number of samples, for 15 minutes; the oldest is dropped.
const MAX_VALUES: usize = 450;

/// Samples of the last 15 minutes.
#[derive(Debug, Default)]
pub(crate) struct ThroughputHistory(Mutex<Samples>);

#[derive(Debug, Default)]
struct Samples {
    /// Time of the first sample. All others are whole steps after it.
    first_sample_at: Option<Mono>,
    /// Number of steps from the first sample to the last.
    last_step: u128,
    ends_at: Option<NodeTime>,
    values: VecDeque<Option<f64>>,
}

impl ThroughputHistory {
    /// Records the current value. Missed steps are recorded as unknown.
    pub(crate) fn record(&self, now: ServerNow, value: Option<f64>) {
        let mut samples = self.lock();
        let first = *samples.first_sample_at.get_or_insert(now.mono);
        // The nearest step, since sampling is never on time to the millisecond.
        let step = (now.mono.since(first) + STEP / 2).as_millis() / STEP.as_millis();
        if samples.ends_at.is_some() && step <= samples.last_step {
            return;
        }
        let missed = (step - samples.last_step).saturating_sub(1);
        for _ in 0..missed.min(MAX_VALUES as u128) {
            samples.values.push_back(None);
        }
        samples.values.push_back(value.map(f64::round));
        let excess = samples.values.len().saturating_sub(MAX_VALUES);
        samples.values.drain(..excess);
        (samples.last_step, samples.ends_at) = (step, Some(now.at));
    }

    /// Returns the wire type.
    pub(crate) fn status(&self) -> v1::Throughput {
        let samples = self.lock();
        v1::Throughput {
            step_seconds: STEP.as_secs_f64(),
            ends_at: samples.ends_at,
            bytes_per_sec: samples.values.iter().copied().collect(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Samples> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the sum over the nodes with a known rate, or `None` if all are unknown.
pub(crate) fn total_speed<'a>(nodes: impl Iterator<Item = &'a NodeView>) -> Option<f64> {
    nodes.filter_map(node_speed).reduce(|sum, speed| sum + speed)
}

fn node_speed(node: &NodeView) -> Option<f64> {
    // The current rate of a lost node is unknown.
    if node.state == NodeState::Lost {
        return None;
    }
    let idle = || node.live.to_download == node.live.downloaded;
    node.live.rate.or_else(|| idle().then_some(0.0))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use pulltrace_core::Bytes;

    use super::*;
    use crate::fixture::{now, time};

    fn at_millis(millis: u64) -> ServerNow {
        now(0).plus(Duration::from_millis(millis))
    }

    #[test]
    fn values_are_evenly_spaced_and_missed_steps_unknown() {
        let throughput = ThroughputHistory::default();
        assert_eq!(throughput.status().ends_at, None);
        for (millis, value) in [
            (0, None),
            (2_003, Some(10.4)),
            (3_999, Some(0.0)),
            (4_200, Some(7.0)), // the same step, ignored
            (10_900, Some(20.0)),
        ] {
            throughput.record(at_millis(millis), value);
        }
        let status = throughput.status();
        let values = [None, Some(10.0), Some(0.0), None, None, Some(20.0)];
        // 10.9 s is nearer to step 5 than to step 6.
        assert_eq!(status.bytes_per_sec, values);
        assert_eq!(status.ends_at, Some(at_millis(10_900).at));
        assert_eq!(status.step_seconds, 2.0);
    }

    #[test]
    fn history_is_capped_at_fifteen_minutes() {
        let throughput = ThroughputHistory::default();
        for step in 0..500 {
            throughput.record(at_millis(step * 2_000), Some(step as f64));
        }
        let values = throughput.status().bytes_per_sec;
        assert_eq!(values.len(), MAX_VALUES);
        assert_eq!((values[0], values[449]), (Some(50.0), Some(499.0)));
        throughput.record(at_millis(1_000_000_000), Some(1.0));
        let values = throughput.status().bytes_per_sec;
        assert_eq!(values.len(), MAX_VALUES);
        assert_eq!((values[448], values[449]), (None, Some(1.0)));
    }

    #[test]
    fn wall_clock_set_back_moves_no_value() {
        let throughput = ThroughputHistory::default();
        throughput.record(at_millis(0), Some(1.0));
        let set_back = ServerNow { at: time(-3_600), ..at_millis(2_000) };
        throughput.record(set_back, Some(2.0));
        let status = throughput.status();
        assert_eq!(status.bytes_per_sec, [Some(1.0), Some(2.0)]);
        assert_eq!(status.ends_at, Some(time(-3_600)));
    }

    #[test]
    fn unknown_node_speed_is_not_counted_as_zero() {
        let node = |state, rate, here| NodeView {
            name: "w1".parse().unwrap(),
            state,
            last_report_at: time(0),
            agent_version: None::<Arc<str>>,
            runtime_version: None,
            clock_offset_ms: None,
            live: crate::change::LiveTotals {
                pulls: 1,
                to_download: Bytes(10),
                downloaded: Bytes(here),
                rate,
            },
            ended: 0,
        };
        let known = node(NodeState::Live, Some(5.0), 1);
        let other = node(NodeState::Conflict, Some(2.0), 1);
        let unknown = node(NodeState::Live, None, 1);
        let unpacking = node(NodeState::Live, None, 10);
        let lost = node(NodeState::Lost, None, 10);
        assert_eq!(total_speed([].iter()), None);
        assert_eq!(total_speed([&unknown, &lost].into_iter()), None);
        assert_eq!(total_speed([&unpacking, &lost].into_iter()), Some(0.0));
        assert_eq!(total_speed([&known, &unknown, &other].into_iter()), Some(7.0));
    }
}
