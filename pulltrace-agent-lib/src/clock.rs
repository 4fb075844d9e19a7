//! The clocks of this crate. No other module reads the time.

use pulltrace_core::{Mono, NodeTime, Now};
use tokio::time::Instant;

/// A monotonic clock and a wall clock, read together.
///
/// The monotonic clock starts when this value is created and follows tokio's time, so a test can
/// pause it.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
    wall: WallClock,
}

#[derive(Clone, Copy, Debug)]
enum WallClock {
    /// The system clock, which may be changed at any time.
    System,
    /// Shows this time at `start` and then follows the monotonic clock.
    Anchored(NodeTime),
}

impl Clock {
    /// Returns the clocks of this machine.
    #[must_use]
    pub fn system() -> Self {
        Self { start: instant_now(), wall: WallClock::System }
    }

    /// Returns a clock whose wall time is `at` now and then follows tokio's time. Meant for tests
    /// and replays.
    #[must_use]
    pub fn anchored(at: NodeTime) -> Self {
        Self { start: instant_now(), wall: WallClock::Anchored(at) }
    }

    /// Returns the current time on both clocks.
    #[must_use]
    pub fn now(&self) -> Now {
        let elapsed = instant_now().duration_since(self.start);
        let node = match self.wall {
            WallClock::System => system_time(),
            WallClock::Anchored(at) => at.saturating_add(elapsed),
        };
        Now { mono: Mono(elapsed), node }
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the crate's clock module")]
fn instant_now() -> Instant {
    Instant::now()
}

#[expect(clippy::disallowed_methods, reason = "this is the crate's clock module")]
fn system_time() -> NodeTime {
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
        assert_eq!(clock.now().node, at);
        tokio::time::advance(Duration::from_millis(1_500)).await;
        let now = clock.now();
        assert_eq!(now.mono, Mono(Duration::from_millis(1_500)));
        assert_eq!(now.node.to_string(), "2026-11-24T20:00:01.5Z");
    }

    #[tokio::test]
    async fn system_clock_reads_wall_time() {
        let now = Clock::system().now();
        let file = std::env::current_exe().and_then(std::fs::metadata).unwrap();
        let built = NodeTime::from_system(file.modified().unwrap());
        assert!(now.node >= built, "{} is before {built}", now.node);
        assert!(now.mono.0 < Duration::from_secs(60));
    }
}
