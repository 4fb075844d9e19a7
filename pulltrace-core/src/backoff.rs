//! Delays between retries.

use std::time::Duration;

/// A delay that doubles with each failure up to a maximum. Half of it is random, so that the
/// clients of a restarted server do not reconnect all at once.
///
/// ```
/// use std::time::Duration;
/// use pulltrace_core::backoff::Backoff;
///
/// let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(30));
/// assert_eq!(backoff.next_delay(1.0), Duration::from_secs(1));
/// assert_eq!(backoff.next_delay(0.0), Duration::from_secs(1)); // 2 s, without the random half
/// assert_eq!(backoff.next_delay(1.0), Duration::from_secs(4));
/// ```
#[derive(Clone, Debug)]
pub struct Backoff {
    first_delay: Duration,
    max_delay: Duration,
    failures: u32,
}

impl Backoff {
    /// Returns a back-off that starts at the first delay, and never exceeds the maximum.
    #[must_use]
    pub const fn new(first_delay: Duration, max_delay: Duration) -> Self {
        Self { first_delay, max_delay, failures: 0 }
    }

    /// Changes the first delay, and raises the maximum to it if it is lower.
    pub fn set_first_delay(&mut self, first_delay: Duration) {
        self.first_delay = first_delay;
        self.max_delay = self.max_delay.max(first_delay);
    }

    /// Returns the number of failures since the last success.
    #[must_use]
    pub const fn failures(&self) -> u32 {
        self.failures
    }

    /// Resets the delay after a success.
    pub const fn reset(&mut self) {
        self.failures = 0;
    }

    /// Returns the delay after another failure. `random` is from 0 to 1: 0 returns half of the
    /// delay, 1 all of it.
    pub fn next_delay(&mut self, random: f64) -> Duration {
        let doubled = self.first_delay.saturating_mul(1 << self.failures.min(16));
        self.failures = self.failures.saturating_add(1);
        doubled.min(self.max_delay).mul_f64(0.5 + random.clamp(0.0, 1.0) / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn delay_doubles_up_to_maximum() {
        let mut backoff = Backoff::new(SECOND, 30 * SECOND);
        let delays: Vec<u64> = (0..40).map(|_| backoff.next_delay(1.0).as_secs()).collect();
        assert_eq!(delays[..6], [1, 2, 4, 8, 16, 30]);
        assert!(delays[6..].iter().all(|delay| *delay == 30), "{delays:?}");
        backoff.reset();
        assert_eq!(backoff.next_delay(1.0), SECOND);
    }

    #[test]
    fn half_of_delay_is_random() {
        let delay = |random| Backoff::new(SECOND, 30 * SECOND).next_delay(random);
        assert_eq!(delay(0.0), SECOND / 2);
        assert_eq!(delay(0.5), SECOND * 3 / 4);
        assert_eq!(delay(7.0), SECOND);
    }

    #[test]
    fn first_delay_raises_maximum() {
        let mut backoff = Backoff::new(SECOND, 2 * SECOND);
        backoff.set_first_delay(5 * SECOND);
        assert_eq!(backoff.next_delay(1.0), 5 * SECOND);
        assert_eq!(backoff.next_delay(1.0), 5 * SECOND);
    }
}
