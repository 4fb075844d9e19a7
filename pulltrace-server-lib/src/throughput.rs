//! How fast bytes came to all nodes together, as far back as a page draws it.
//!
//! It is looked at in equal steps, and never when a report comes.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pulltrace_core::wire::v1::{self, NodeState};
use pulltrace_core::{Mono, NodeTime};

use crate::clock::ServerNow;
use crate::fleet::NodeView;

/// From one value to the next.
pub(crate) const STEP: Duration = Duration::from_secs(2);

/// Values that are kept: 15 minutes of them. The oldest goes.
const MOST: usize = 450;

/// The last 15 minutes, since the server started.
#[derive(Debug, Default)]
pub(crate) struct Throughput(Mutex<Values>);

#[derive(Debug, Default)]
struct Values {
    /// When the first value was taken, of which all others are whole steps away.
    first: Option<Mono>,
    /// How many steps the last one is.
    last: u128,
    ends_at: Option<NodeTime>,
    values: VecDeque<Option<f64>>,
}

impl Throughput {
    /// Takes the value of this moment. Of steps that nobody looked at, nothing is known.
    pub(crate) fn take(&self, now: ServerNow, value: Option<f64>) {
        let mut kept = self.kept();
        let first = *kept.first.get_or_insert(now.mono);
        // The nearest, since whoever looks is never on time to the millisecond.
        let step = (now.mono.since(first) + STEP / 2).as_millis() / STEP.as_millis();
        if kept.ends_at.is_some() && step <= kept.last {
            return;
        }
        let missed = (step - kept.last).saturating_sub(1);
        for _ in 0..missed.min(MOST as u128) {
            kept.values.push_back(None);
        }
        kept.values.push_back(value.map(f64::round));
        let over = kept.values.len().saturating_sub(MOST);
        kept.values.drain(..over);
        (kept.last, kept.ends_at) = (step, Some(now.at));
    }

    /// What is kept, as people read it.
    pub(crate) fn status(&self) -> v1::Throughput {
        let kept = self.kept();
        v1::Throughput {
            step_seconds: STEP.as_secs_f64(),
            ends_at: kept.ends_at,
            bytes_per_sec: kept.values.iter().copied().collect(),
        }
    }

    fn kept(&self) -> MutexGuard<'_, Values> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The sum over the nodes whose speed is known; `None` where that is none.
pub(crate) fn sum<'a>(nodes: impl Iterator<Item = &'a NodeView>) -> Option<f64> {
    nodes.filter_map(speed).reduce(|sum, speed| sum + speed)
}

fn speed(node: &NodeView) -> Option<f64> {
    // Of a node that is not heard, nothing is known now.
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

    fn after(millis: u64) -> ServerNow {
        now(0).plus(Duration::from_millis(millis))
    }

    #[test]
    fn values_are_in_equal_steps_and_what_nobody_looked_at_is_unknown() {
        let throughput = Throughput::default();
        assert_eq!(throughput.status().ends_at, None);
        for (millis, value) in [
            (0, None),
            (2_003, Some(10.4)),
            (3_999, Some(0.0)),
            (4_200, Some(7.0)), // the same step: not again
            (10_900, Some(20.0)),
        ] {
            throughput.take(after(millis), value);
        }
        let status = throughput.status();
        let values = [None, Some(10.0), Some(0.0), None, None, Some(20.0)];
        // 10.9 s are nearer to the fifth step than to the sixth.
        assert_eq!(status.bytes_per_sec, values);
        assert_eq!(status.ends_at, Some(after(10_900).at));
        assert_eq!(status.step_seconds, 2.0);
    }

    #[test]
    fn no_more_than_a_quarter_of_an_hour_is_kept_however_long_nobody_looked() {
        let throughput = Throughput::default();
        for step in 0..500 {
            throughput.take(after(step * 2_000), Some(step as f64));
        }
        let values = throughput.status().bytes_per_sec;
        assert_eq!(values.len(), MOST);
        assert_eq!((values[0], values[449]), (Some(50.0), Some(499.0)));
        throughput.take(after(1_000_000_000), Some(1.0));
        let values = throughput.status().bytes_per_sec;
        assert_eq!(values.len(), MOST);
        assert_eq!((values[448], values[449]), (None, Some(1.0)));
    }

    #[test]
    fn a_wall_clock_that_is_set_back_moves_no_value() {
        let throughput = Throughput::default();
        throughput.take(after(0), Some(1.0));
        let set_back = ServerNow {
            at: time(-3_600),
            ..after(2_000)
        };
        throughput.take(set_back, Some(2.0));
        let status = throughput.status();
        assert_eq!(status.bytes_per_sec, [Some(1.0), Some(2.0)]);
        assert_eq!(status.ends_at, Some(time(-3_600)));
    }

    #[test]
    fn what_is_not_known_of_a_node_is_not_zero() {
        let node = |state, rate, here| NodeView {
            name: "w1".parse().unwrap(),
            state,
            last_report_at: time(0),
            agent_version: None::<Arc<str>>,
            runtime_version: None,
            clock_offset_ms: None,
            live: crate::fleet::LiveSums {
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
        assert_eq!(sum([].iter()), None);
        assert_eq!(sum([&unknown, &lost].into_iter()), None);
        assert_eq!(sum([&unpacking, &lost].into_iter()), Some(0.0));
        assert_eq!(sum([&known, &unknown, &other].into_iter()), Some(7.0));
    }
}
