//! Delays between requests.

use std::time::Duration;

use pulltrace_core::backoff::Backoff;

/// The range of retry times that a server may request.
const SERVER_RETRY_RANGE: (Duration, Duration) =
    (Duration::from_millis(100), Duration::from_mins(1));

/// A back-off that a server may lengthen, within bounds.
#[derive(Clone, Debug)]
pub(crate) struct RetryDelay(Backoff);

impl RetryDelay {
    pub(crate) const fn new(first_delay: Duration, max_delay: Duration) -> Self {
        Self(Backoff::new(first_delay, max_delay))
    }

    /// Sets the first delay to the one requested by the server, within bounds.
    pub(crate) fn set_first_delay(&mut self, first: Duration) {
        self.0.set_first_delay(first.clamp(SERVER_RETRY_RANGE.0, SERVER_RETRY_RANGE.1));
    }

    /// Resets the delay after a success.
    pub(crate) const fn reset(&mut self) {
        self.0.reset();
    }

    /// Returns the delay after another failure, at least the one requested by the server.
    pub(crate) fn next_delay(&mut self, requested: Option<Duration>) -> Duration {
        let delay = self.0.next_delay(fastrand::f64());
        delay.max(requested.unwrap_or_default().min(SERVER_RETRY_RANGE.1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn server_requested_delay_is_bounded() {
        let mut delay = RetryDelay::new(SECOND, 30 * SECOND);
        assert_eq!(delay.next_delay(Some(5 * SECOND)), 5 * SECOND);
        assert_eq!(delay.next_delay(Some(Duration::MAX)), 60 * SECOND);
    }

    #[test]
    fn server_requested_first_delay_is_bounded() {
        let mut delay = RetryDelay::new(SECOND, 30 * SECOND);
        delay.set_first_delay(Duration::ZERO);
        let shortest = delay.next_delay(None);
        let bounds = Duration::from_millis(50)..=Duration::from_millis(100);
        assert!(bounds.contains(&shortest), "{shortest:?}");
        delay.reset();
        delay.set_first_delay(Duration::MAX);
        let longest = delay.next_delay(None);
        assert!((30 * SECOND..=60 * SECOND).contains(&longest), "{longest:?}");
    }
}
