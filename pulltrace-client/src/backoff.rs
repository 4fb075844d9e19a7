//! When to come back after a failure.

use std::hash::BuildHasher as _;
use std::time::Duration;

/// The shortest and the longest that a server may ask for.
const ASKED: (Duration, Duration) = (Duration::from_millis(100), Duration::from_mins(1));

/// Doubles from failure to failure up to a bound, and is spread over half of it, so that the readers
/// of a server that restarts do not come back all at once.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    first: Duration,
    longest: Duration,
    failures: u32,
}

impl Backoff {
    pub(crate) const fn new(first: Duration, longest: Duration) -> Self {
        Self {
            first,
            longest,
            failures: 0,
        }
    }

    /// What the server says to begin with, within bounds.
    pub(crate) fn asked(&mut self, first: Duration) {
        self.first = first.clamp(ASKED.0, ASKED.1);
        self.longest = self.longest.max(self.first);
    }

    /// Something worked: the next failure is the first.
    pub(crate) const fn worked(&mut self) {
        self.failures = 0;
    }

    /// How long to wait after one more failure, at least as long as the server asks for. `random` is
    /// from 0 to 1.
    pub(crate) fn failed(&mut self, at_least: Option<Duration>, random: f64) -> Duration {
        let doubled = self.first.saturating_mul(1 << self.failures.min(16));
        self.failures = self.failures.saturating_add(1);
        let most = doubled.min(self.longest);
        let spread = most.mul_f64(0.5 + random.clamp(0.0, 1.0) / 2.0);
        spread.max(at_least.unwrap_or_default().min(ASKED.1))
    }
}

/// From 0 to 1. The hasher is the standard library's only source of randomness.
pub(crate) fn random() -> f64 {
    let bits = std::hash::RandomState::new().hash_one(0_u8);
    f64::from(u32::try_from(bits >> 32).unwrap_or_default()) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn it_waits_longer_from_failure_to_failure_up_to_a_bound() {
        let mut backoff = Backoff::new(SECOND, 30 * SECOND);
        let waits: Vec<u64> = (0..40)
            .map(|_| backoff.failed(None, 1.0).as_secs())
            .collect();
        assert_eq!(waits[..6], [1, 2, 4, 8, 16, 30]);
        assert!(waits[6..].iter().all(|wait| *wait == 30), "{waits:?}");
        backoff.worked();
        assert_eq!(backoff.failed(None, 1.0), SECOND);
    }

    #[test]
    fn readers_do_not_come_back_at_once() {
        let wait = |random| Backoff::new(SECOND, 30 * SECOND).failed(None, random);
        assert_eq!(wait(0.0), SECOND / 2);
        assert_eq!(wait(0.5), SECOND * 3 / 4);
        let random = random();
        assert!((0.0..=1.0).contains(&random), "{random}");
    }

    #[test]
    fn a_server_may_ask_for_more_time_but_not_for_ever() {
        let mut backoff = Backoff::new(SECOND, 30 * SECOND);
        assert_eq!(backoff.failed(Some(5 * SECOND), 1.0), 5 * SECOND);
        assert_eq!(backoff.failed(Some(Duration::MAX), 1.0), 60 * SECOND);
        backoff.worked();
        backoff.asked(Duration::ZERO);
        assert_eq!(backoff.failed(None, 1.0), Duration::from_millis(100));
        backoff.worked();
        backoff.asked(Duration::MAX);
        assert_eq!(backoff.failed(None, 1.0), 60 * SECOND);
    }
}
