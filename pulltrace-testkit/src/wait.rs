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

/// [`until`] for code that cannot be async, such as drops.
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
            return Err(TimedOut {
                what: what.into(),
                deadline,
            });
        }
        std::thread::sleep(INTERVAL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_condition_is_asked_until_it_holds() {
        let mut asked = 0;
        let seen = until("it was asked thrice", Duration::from_secs(5), async || {
            asked += 1;
            (asked == 3).then_some(asked)
        })
        .await;
        assert_eq!(seen, Ok(3));
    }

    #[tokio::test]
    async fn what_never_holds_is_asked_at_least_once_and_named() {
        let mut asked = 0;
        let error = until("pigs fly", Duration::ZERO, async || {
            asked += 1;
            None::<()>
        })
        .await
        .unwrap_err();
        assert_eq!(asked, 1);
        assert_eq!(error.to_string(), "waited 0 s in vain until pigs fly");
        let blocking = until_blocking("pigs fly", Duration::ZERO, || None::<()>);
        assert_eq!(blocking, Err(error));
    }
}
