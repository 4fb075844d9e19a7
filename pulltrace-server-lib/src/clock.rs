//! The clocks of this crate. No other module reads a clock.

use pulltrace_core::{Mono, NodeTime};
use tokio::time::Instant;

/// One moment on the server's clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerNow {
    /// The monotonic clock, for silence and intervals.
    pub mono: Mono,
    /// The server's wall clock, for display and for the age of history.
    pub at: NodeTime,
}

impl ServerNow {
    /// Returns this moment plus `by`, on both clocks.
    #[must_use]
    pub fn plus(self, by: std::time::Duration) -> Self {
        Self { mono: self.mono + by, at: self.at.saturating_add(by) }
    }
}

/// A monotonic clock and a wall clock.
///
/// The monotonic clock starts when this is created. It is tokio's, so tests can pause it.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
    wall: Wall,
}

#[derive(Clone, Copy, Debug)]
enum Wall {
    /// The system's clock, which may be set at any time.
    System,
    /// This time at `start`, then in step with the monotonic clock.
    Anchored(NodeTime),
}

impl Clock {
    /// Returns the clocks of this machine.
    #[must_use]
    pub fn system() -> Self {
        Self { start: instant(), wall: Wall::System }
    }

    /// Returns a clock whose wall time is `at` now and then follows tokio's clock, for tests and
    /// replays.
    #[must_use]
    pub fn anchored(at: NodeTime) -> Self {
        Self { start: instant(), wall: Wall::Anchored(at) }
    }

    /// Returns the current time on both clocks.
    #[must_use]
    pub fn now(&self) -> ServerNow {
        let elapsed = instant().duration_since(self.start);
        let at = match self.wall {
            Wall::System => system(),
            Wall::Anchored(at) => at.saturating_add(elapsed),
        };
        ServerNow { mono: Mono(elapsed), at }
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the crate's clock module")]
fn instant() -> Instant {
    Instant::now()
}

#[expect(clippy::disallowed_methods, reason = "this is the crate's clock module")]
fn system() -> NodeTime {
    NodeTime::from_system(std::time::SystemTime::now())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn anchored_clock_follows_tokio_time() {
        let at: NodeTime = "2026-11-24T20:00:00Z".parse().unwrap();
        let clock = Clock::anchored(at);
        let first = clock.now();
        assert_eq!(first.at, at);
        tokio::time::advance(Duration::from_millis(1_500)).await;
        assert_eq!(clock.now(), first.plus(Duration::from_millis(1_500)));
    }

    #[tokio::test]
    async fn system_clock_reads_wall_time() {
        let now = Clock::system().now();
        let file = std::env::current_exe().and_then(std::fs::metadata).unwrap();
        let built = NodeTime::from_system(file.modified().unwrap());
        assert!(now.at >= built, "{} is before {built}", now.at);
    }
}
