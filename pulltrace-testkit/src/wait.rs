//! Waiting for a condition with a deadline. Every wait of the kit and of the tests uses [`until`];
//! nothing relies on a sleep of fixed length.

use std::time::Duration;

use crate::clock;

/// The interval at which a condition is polled.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// A condition that was not met in time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("timed out after {} s waiting until {what}", deadline.as_secs_f64())]
pub struct TimedOut {
    /// The condition in words, as passed to [`until`].
    pub what: String,
    /// The time after which the wait was given up.
    pub deadline: Duration,
}

/// Polls `condition` every 10 ms until it returns `Some`, for at most `deadline`.
///
/// `what` names the condition in the error. The condition is polled at least once, and a last time
/// at the deadline.
///
/// # Errors
/// [`TimedOut`] when the deadline passes first.
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
            return Err(TimedOut { what: what.into(), deadline });
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

/// Like [`until`], for code that cannot be async, such as drops.
pub(crate) fn until_blocking<T>(
    what: impl Into<String>,
    deadline: Duration,
    mut condition: impl FnMut() -> Option<T>,
) -> Result<T, TimedOut> {
    let start = clock::now();
    loop {
        let late = clock::now().duration_since(start) >= deadline;
        if let Some(value) = condition() {
            return Ok(value);
        }
        if late {
            return Err(TimedOut { what: what.into(), deadline });
        }
        std::thread::sleep(POLL_INTERVAL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn until_polls_until_condition_holds() {
        let mut asked = 0;
        let seen = until("it was polled three times", Duration::from_secs(5), async || {
            asked += 1;
            (asked == 3).then_some(asked)
        })
        .await;
        assert_eq!(seen, Ok(3));
    }

    #[tokio::test]
    async fn timeout_polls_at_least_once_and_names_condition() {
        let mut asked = 0;
        let error = until("pigs fly", Duration::ZERO, async || {
            asked += 1;
            None::<()>
        })
        .await
        .unwrap_err();
        assert_eq!(asked, 1);
        assert_eq!(error.to_string(), "timed out after 0 s waiting until pigs fly");
        let blocking = until_blocking("pigs fly", Duration::ZERO, || None::<()>);
        assert_eq!(blocking, Err(error));
    }
}
