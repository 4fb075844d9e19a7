//! Ends steps that make no progress.
//!
//! A step may take as long as it needs: on a busy machine a build takes several times longer than
//! on an idle one. It is ended only after [`STALL_LIMIT`] without output and without processor time.

use std::time::Duration;

use crate::clock::{self, Stopwatch};
use crate::error::{Error, Result};
use crate::process_tree;

/// A step is ended after this time without progress.
pub(crate) const STALL_LIMIT: Duration = Duration::from_secs(5 * 60);

const SAMPLE_INTERVAL: Duration = Duration::from_secs(1);

/// The most idle time that one sample can add: a longer gap means that this process did not run
/// either, for example because the machine was suspended.
const MAX_SAMPLE_GAP: Duration = Duration::from_secs(10);

/// The work that a step has done so far. Any change is progress.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Sample {
    /// Size of the output, in any unit.
    pub(crate) output: u64,
    /// Processor time of the running processes. Drops when one of them exits.
    pub(crate) ticks: u64,
}

/// Decides from samples whether a step has stalled.
#[derive(Debug)]
struct StallDetector {
    limit: Duration,
    last: Sample,
    last_at: Duration,
    idle: Duration,
}

impl StallDetector {
    fn new(limit: Duration) -> StallDetector {
        StallDetector {
            limit,
            last: Sample::default(),
            last_at: Duration::ZERO,
            idle: Duration::ZERO,
        }
    }

    /// Records a sample and reports whether the step has stalled.
    fn record(&mut self, sample: Sample, now: Duration) -> bool {
        if sample == self.last {
            let gap = now.saturating_sub(self.last_at);
            self.idle += gap.min(MAX_SAMPLE_GAP);
        } else {
            self.idle = Duration::ZERO;
            self.last = sample;
        }
        self.last_at = now;
        self.idle >= self.limit
    }
}

/// Watches the processes of one command.
#[derive(Debug)]
pub(crate) struct Watchdog {
    pid: u32,
    watch: Stopwatch,
    next_sample: Duration,
    detector: StallDetector,
}

impl Watchdog {
    pub(crate) fn start(pid: u32, limit: Duration) -> Watchdog {
        Watchdog {
            pid,
            watch: Stopwatch::start(),
            next_sample: Duration::ZERO,
            detector: StallDetector::new(limit),
        }
    }

    /// Kills the command and its descendants if it has stalled, and returns the error. `output` is
    /// the size of its output so far.
    pub(crate) fn check(&mut self, command: &str, output: u64) -> Result<()> {
        let now = self.watch.elapsed();
        if now < self.next_sample {
            return Ok(());
        }
        self.next_sample = now + SAMPLE_INTERVAL;
        let ticks = process_tree::processor_ticks(self.pid);
        if !self.detector.record(Sample { output, ticks }, now) {
            return Ok(());
        }
        process_tree::kill_tree(self.pid);
        Err(Error::Failed(format!(
            "`{command}` was ended: no output and no processor time for {}",
            clock::format(self.detector.limit)
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn sample(output: u64, ticks: u64) -> Sample {
        Sample { output, ticks }
    }

    /// Feeds one sample a second and returns when the step was found stalled, in seconds.
    fn stalled_at(samples: impl IntoIterator<Item = Sample>) -> Option<u32> {
        let mut detector = StallDetector::new(STALL_LIMIT);
        let mut samples = (0..).zip(samples);
        samples
            .find_map(|(second, sample)| detector.record(sample, SECOND * second).then_some(second))
    }

    #[test]
    fn idle_step_stalls_after_the_limit() {
        let samples = std::iter::repeat_n(sample(7, 3), 1_000);
        assert_eq!(stalled_at(samples), Some(300));
    }

    #[test]
    fn output_or_processor_time_is_progress() {
        assert_eq!(stalled_at((0..5_000).map(|n| sample(n / 299, 3))), None);
        assert_eq!(stalled_at((0..5_000).map(|n| sample(7, n / 299))), None);
        // A process that exits takes its processor time with it.
        assert_eq!(stalled_at((0..5_000).map(|n| sample(7, 99 - n / 299))), None);
    }

    #[test]
    fn stall_is_counted_from_the_last_progress() {
        let samples = (0..1_000).map(|n| sample(n.min(100), 3));
        assert_eq!(stalled_at(samples), Some(400));
    }

    #[test]
    fn suspended_machine_is_not_a_stall() {
        let mut detector = StallDetector::new(STALL_LIMIT);
        assert!(!detector.record(sample(7, 3), SECOND));
        assert!(!detector.record(sample(7, 3), SECOND * 3_600));
        assert!(!detector.record(sample(7, 3), SECOND * 7_200));
    }
}
