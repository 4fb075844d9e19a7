//! No cluster: sources that say nothing, for ever.

use std::future::pending;

use super::{PodSource, PodUpdate, PullEventSource, PullEventUpdate};

/// A source that says nothing and does not end: what a server has that knows of no cluster.
#[derive(Clone, Copy, Debug, Default)]
pub struct Nothing;

impl PodSource for Nothing {
    async fn next(&mut self) -> Option<PodUpdate> {
        pending().await
    }
}

impl PullEventSource for Nothing {
    async fn next(&mut self) -> Option<PullEventUpdate> {
        pending().await
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn nothing_is_said_within_a_day() {
        let day = Duration::from_secs(24 * 3_600);
        let mut nothing = Nothing;
        let pods = tokio::time::timeout(day, PodSource::next(&mut nothing));
        assert!(pods.await.is_err());
        let events = tokio::time::timeout(day, PullEventSource::next(&mut nothing));
        assert!(events.await.is_err());
    }
}
