//! Failures of watchers, and the back-off of their retries.

use std::error::Error;
use std::time::Duration;

use kube::runtime::watcher;
use pulltrace_core::backoff::Backoff;
use pulltrace_core::error::error_chain;

use crate::cluster::{SourceFailure, SourceFailureKind};

/// Timeout for a page of a list, and for the response head of a watch.
pub(super) const RESPONSE_TIMEOUT: Duration = Duration::from_secs(60);

/// Maximum length of a message that is passed on, in characters.
const MAX_MESSAGE_CHARS: usize = 300;

/// The first delay is between half of this and all of it.
const INITIAL_BACKOFF: Duration = Duration::from_millis(500);
/// The maximum delay.
const MAX_BACKOFF: Duration = Duration::from_secs(30);

/// A page of a list or a line of a watch exceeds its limit.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("response too large")]
pub(super) struct ResponseTooLong;

/// The API server did not answer in time.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the API server did not answer within {} s", RESPONSE_TIMEOUT.as_secs())]
pub(super) struct ResponseTimeout;

/// The failure of a watcher.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum WatchFailure {
    /// The connection of a watch was lost. It can be resumed.
    Disconnected,
    /// The resource version or continue token has expired: `410 Gone`.
    Expired,
    /// The response exceeds the size limit.
    TooLong,
    /// A request failed. It can be repeated.
    Request(SourceFailure),
    /// A watch cannot be resumed: a list of the objects is needed.
    Watch(SourceFailure),
}

impl WatchFailure {
    pub(super) fn new(kind: SourceFailureKind, message: &str) -> Self {
        Self::Request(SourceFailure { kind, message: truncate(message) })
    }

    fn malformed(what: &str) -> Self {
        Self::new(
            SourceFailureKind::Malformed,
            &format!("{what}: is this the address of an API server?"),
        )
    }

    /// A page of a list that is not complete in time.
    pub(super) fn list_timeout() -> Self {
        Self::Watch(SourceFailure {
            kind: SourceFailureKind::Unreachable,
            message: ResponseTimeout.to_string(),
        })
    }

    /// Returns whether the watcher must start over with a list.
    pub(super) const fn needs_list(&self) -> bool {
        matches!(self, Self::Expired | Self::TooLong | Self::Watch(_))
    }

    /// Maps a Kubernetes status, of an HTTP response or of a watch.
    fn from_status(code: u16, message: &str) -> Self {
        match code {
            410 => Self::Expired,
            401 => Self::new(
                SourceFailureKind::Unauthorized,
                &format!("the API server rejected the credentials: {message}"),
            ),
            403 => Self::new(
                SourceFailureKind::Forbidden,
                &format!("{message}: grant `list` and `watch` with RBAC"),
            ),
            429 | 500.. => Self::new(
                SourceFailureKind::Unreachable,
                &format!("the API server returned {code}: {message}"),
            ),
            _ => Self::malformed(&format!("unexpected status {code}: {message}")),
        }
    }

    fn from_request(error: &kube::Error) -> Self {
        let kind = match error {
            kube::Error::Api(status) => return Self::from_status(status.code, &status.message),
            kube::Error::SerdeError(error) => {
                return Self::malformed(&format!("invalid response: {error}"));
            }
            error if is_too_long(error) => return Self::TooLong,
            kube::Error::Auth(_) => SourceFailureKind::Unauthorized,
            kube::Error::HyperError(_) | kube::Error::Service(_) => SourceFailureKind::Unreachable,
            _ => SourceFailureKind::Malformed,
        };
        Self::new(kind, &error_chain(error))
    }
}

impl From<watcher::Error> for WatchFailure {
    fn from(error: watcher::Error) -> Self {
        let failure = match &error {
            watcher::Error::InitialListFailed(error) | watcher::Error::WatchStartFailed(error) => {
                return Self::from_request(error);
            }
            watcher::Error::WatchFailed(kube::Error::ReadEvents(error)) => {
                return if is_too_long(error) { Self::TooLong } else { Self::Disconnected };
            }
            watcher::Error::WatchFailed(error) => Self::from_request(error),
            watcher::Error::WatchError(status) => Self::from_status(status.code, &status.message),
            watcher::Error::NoResourceVersion => Self::malformed(&error.to_string()),
        };
        match failure {
            Self::Request(failure) => Self::Watch(failure),
            other => other,
        }
    }
}

fn is_too_long(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.is::<ResponseTooLong>() {
            return true;
        }
        next = error.source();
    }
    false
}

/// Reduces a text to one line of limited length.
pub(super) fn truncate(text: &str) -> String {
    let line = text.trim().chars().map(|c| if c.is_control() { ' ' } else { c });
    line.take(MAX_MESSAGE_CHARS).collect()
}

/// Waits before the next request.
pub(super) async fn wait_before_retry(backoff: &mut Backoff) {
    tokio::time::sleep(backoff.next_delay(fastrand::f64())).await;
}

/// Returns the back-off of requests to an API server.
pub(super) const fn request_backoff() -> Backoff {
    Backoff::new(INITIAL_BACKOFF, MAX_BACKOFF)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_codes_map_to_failure_kinds() {
        let kind = |code| match WatchFailure::from_status(code, "why") {
            WatchFailure::Request(failure) => Some((failure.kind, failure.message.contains("why"))),
            _ => None,
        };
        assert_eq!(kind(410), None);
        for (code, is) in [
            (401, SourceFailureKind::Unauthorized),
            (403, SourceFailureKind::Forbidden),
            (429, SourceFailureKind::Unreachable),
            (500, SourceFailureKind::Unreachable),
            (503, SourceFailureKind::Unreachable),
            (404, SourceFailureKind::Malformed),
            (0, SourceFailureKind::Malformed),
        ] {
            assert_eq!(kind(code), Some((is, true)), "{code}");
        }
    }

    #[test]
    fn too_long_response_is_recognised_inside_kube_errors() {
        let service = || kube::Error::Service(Box::new(ResponseTooLong));
        let line = kube::Error::ReadEvents(std::io::Error::other(service()));
        let failure = WatchFailure::from(watcher::Error::WatchFailed(line));
        assert!(matches!(failure, WatchFailure::TooLong), "{failure:?}");
        let failure = WatchFailure::from(watcher::Error::InitialListFailed(service()));
        assert!(matches!(failure, WatchFailure::TooLong), "{failure:?}");
    }

    #[test]
    fn truncate_yields_one_short_line() {
        assert_eq!(truncate(" a\nb\u{1b}c "), "a b c");
        assert_eq!(truncate(&"x".repeat(10_000)).len(), MAX_MESSAGE_CHARS);
    }

    #[test]
    fn error_chain_repeats_no_cause() {
        let inner = std::io::Error::other("refused");
        let error = kube::Error::Service(Box::new(inner));
        let WatchFailure::Request(failure) = WatchFailure::from_request(&error) else {
            panic!();
        };
        assert_eq!(failure.kind, SourceFailureKind::Unreachable);
        assert_eq!(failure.message, "ServiceError: refused");
    }
}
