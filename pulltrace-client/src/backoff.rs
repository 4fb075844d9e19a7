//! Exponential back-off with jitter.

use std::hash::BuildHasher as _;
use std::time::Duration;

/// The range of retry times that a server may request.
const SERVER_RETRY_RANGE: (Duration, Duration) =
    (Duration::from_millis(100), Duration::from_mins(1));

/// A delay that doubles with each failure up to a maximum. Half of it is random, so that the
/// clients of a restarted server do not reconnect all at once.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    first_delay: Duration,
    max_delay: Duration,
    failures: u32,
}

impl Backoff {
    pub(crate) const fn new(first_delay: Duration, max_delay: Duration) -> Self {
        Self { first_delay, max_delay, failures: 0 }
    }

    /// Sets the first delay to the one requested by the server, within bounds.
    pub(crate) fn set_first(&mut self, first: Duration) {
        self.first_delay = first.clamp(SERVER_RETRY_RANGE.0, SERVER_RETRY_RANGE.1);
        self.max_delay = self.max_delay.max(self.first_delay);
    }

    /// Resets the delay after a success.
    pub(crate) const fn reset(&mut self) {
        self.failures = 0;
    }

    /// Returns the delay after another failure, at least the one requested by the server. `random`
    /// is from 0 to 1.
    pub(crate) fn next_delay(&mut self, at_least: Option<Duration>, random: f64) -> Duration {
        let doubled = self.first_delay.saturating_mul(1 << self.failures.min(16));
        self.failures = self.failures.saturating_add(1);
        let most = doubled.min(self.max_delay);
        let spread = most.mul_f64(0.5 + random.clamp(0.0, 1.0) / 2.0);
        spread.max(at_least.unwrap_or_default().min(SERVER_RETRY_RANGE.1))
    }
}

/// Returns a number from 0 to 1. The hasher is the standard library's only source of randomness.
pub(crate) fn random() -> f64 {
    let bits = std::hash::RandomState::new().hash_one(0_u8);
    f64::from(u32::try_from(bits >> 32).unwrap_or_default()) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn delay_doubles_up_to_maximum() {
        let mut backoff = Backoff::new(SECOND, 30 * SECOND);
        let waits: Vec<u64> = (0..40).map(|_| backoff.next_delay(None, 1.0).as_secs()).collect();
        assert_eq!(waits[..6], [1, 2, 4, 8, 16, 30]);
        assert!(waits[6..].iter().all(|wait| *wait == 30), "{waits:?}");
        backoff.reset();
        assert_eq!(backoff.next_delay(None, 1.0), SECOND);
    }

    #[test]
    fn delay_is_randomised() {
        let wait = |random| Backoff::new(SECOND, 30 * SECOND).next_delay(None, random);
        assert_eq!(wait(0.0), SECOND / 2);
        assert_eq!(wait(0.5), SECOND * 3 / 4);
        let random = random();
        assert!((0.0..=1.0).contains(&random), "{random}");
    }

    #[test]
    fn server_requested_delay_is_bounded() {
        let mut backoff = Backoff::new(SECOND, 30 * SECOND);
        assert_eq!(backoff.next_delay(Some(5 * SECOND), 1.0), 5 * SECOND);
        assert_eq!(backoff.next_delay(Some(Duration::MAX), 1.0), 60 * SECOND);
        backoff.reset();
        backoff.set_first(Duration::ZERO);
        assert_eq!(backoff.next_delay(None, 1.0), Duration::from_millis(100));
        backoff.reset();
        backoff.set_first(Duration::MAX);
        assert_eq!(backoff.next_delay(None, 1.0), 60 * SECOND);
    }
}
