//! Waiting for a condition with a deadline. Every wait of the kit and of the
//! tests goes through [`until`]; nothing sleeps a fixed time and hopes.

use std::time::Duration;

use crate::clock;

/// How often a condition is looked at.
const INTERVAL: Duration = Duration::from_millis(10);

/// A condition that did not come true in time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("waited {} s in vain until {what}", deadline.as_secs_f64())]
pub struct TimedOut {
    /// The condition in words, as handed to [`until`].
    pub what: String,
    /// How long was waited.
    pub deadline: Duration,
}

/// Asks `condition` every 10 ms until it answers `Some`, at most for `deadline`.
///
/// `what` completes the sentence "waited in vain until …". The condition is
/// asked at least once, and once more at the deadline.
///
/// # Errors
/// [`TimedOut`] when the deadline passed first.
pub async fn until<T>(
    what: impl Into<String>,
    deadline: Duration,
    mut condition: impl AsyncFnMut() -> Option<T>,
) -> Result<T, TimedOut> {
    let start = clock::now();
    loop {
        let late = clock::now().duration_since(start) >= deadline;
        if let Some(value) = condition().await {
            return Ok(value);
        }
        if late {
            return Err(TimedOut {
                what: what.into(),
                deadline,
            });
        }
        tokio::time::sleep(INTERVAL).await;
    }
}
