//! The clocks of this crate: the only place where one is read.

use pulltrace_core::{Mono, NodeTime, Now};
use tokio::time::Instant;

/// Both clocks, read at once.
///
/// The monotonic clock starts when this is made, and is tokio's: it stands still where a test paused it.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
    wall: Wall,
}

#[derive(Clone, Copy, Debug)]
enum Wall {
    /// The system's, which may be set at any time.
    System,
    /// This instant at `start`, and from there on in step with the monotonic clock.
    Anchored(NodeTime),
}

impl Clock {
    /// The clocks of this machine.
    #[must_use]
    pub fn system() -> Self {
        Self {
            start: instant(),
            wall: Wall::System,
        }
    }

    /// A wall clock that shows `at` now and then runs with tokio's clock: for tests and replays.
    #[must_use]
    pub fn anchored(at: NodeTime) -> Self {
        Self {
            start: instant(),
            wall: Wall::Anchored(at),
        }
    }

    /// This moment on both clocks.
    #[must_use]
    pub fn now(&self) -> Now {
        let elapsed = instant().duration_since(self.start);
        let node = match self.wall {
            Wall::System => system(),
            Wall::Anchored(at) => at.saturating_add(elapsed),
        };
        Now {
            mono: Mono(elapsed),
            node,
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "this is the crate's clock module"
)]
fn instant() -> Instant {
    Instant::now()
}

#[expect(
    clippy::disallowed_methods,
    reason = "this is the crate's clock module"
)]
fn system() -> NodeTime {
    NodeTime::from_system(std::time::SystemTime::now())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_anchored_clock_moves_with_the_time_of_the_test() {
        let at: NodeTime = "2026-11-24T20:00:00Z".parse().unwrap();
        let clock = Clock::anchored(at);
        assert_eq!(clock.now().node, at);
        tokio::time::advance(Duration::from_millis(1_500)).await;
        let now = clock.now();
        assert_eq!(now.mono, Mono(Duration::from_millis(1_500)));
        assert_eq!(now.node.to_string(), "2026-11-24T20:00:01.5Z");
    }

    #[tokio::test]
    async fn the_system_clock_is_that_of_this_machine() {
        let now = Clock::system().now();
        let file = std::env::current_exe().and_then(std::fs::metadata).unwrap();
        let built = NodeTime::from_system(file.modified().unwrap());
        assert!(now.node >= built, "{} is before {built}", now.node);
        assert!(now.mono.0 < Duration::from_secs(60));
    }
}
