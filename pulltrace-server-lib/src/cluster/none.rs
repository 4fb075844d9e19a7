//! A source that never sends an update.

use std::future::pending;

use super::{PodSource, PodUpdate, PullEventSource, PullEventUpdate, SourceError};

/// A source that never sends an update and never ends, for servers without a cluster.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoSource;

impl PodSource for NoSource {
    async fn next(&mut self) -> Result<Option<PodUpdate>, SourceError> {
        pending().await
    }
}

impl PullEventSource for NoSource {
    async fn next(&mut self) -> Result<Option<PullEventUpdate>, SourceError> {
        pending().await
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn no_source_stays_pending() {
        let day = Duration::from_secs(24 * 3_600);
        let mut nothing = NoSource;
        let pods = tokio::time::timeout(day, PodSource::next(&mut nothing));
        assert!(pods.await.is_err());
        let events = tokio::time::timeout(day, PullEventSource::next(&mut nothing));
        assert!(events.await.is_err());
    }
}
