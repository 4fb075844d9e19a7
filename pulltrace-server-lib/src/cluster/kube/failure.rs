//! Request errors and retry back-off.

use std::time::Duration;

use pulltrace_core::backoff::Backoff;
use pulltrace_core::error::error_chain;

use crate::cluster::{SourceFailure, SourceFailureKind};

/// Maximum length of a message that is passed on, in characters.
const MAX_MESSAGE_CHARS: usize = 300;

/// The first delay is between half of this and all of it.
const INITIAL_BACKOFF: Duration = Duration::from_millis(500);
/// The maximum delay.
const MAX_BACKOFF: Duration = Duration::from_secs(30);

/// The error of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum RequestError {
    /// The resource version or continue token has expired: `410 Gone`.
    Expired,
    /// The response exceeds the size limit.
    TooLong,
    /// Any other failure.
    Failed(SourceFailure),
}

impl RequestError {
    pub(super) fn new(kind: SourceFailureKind, message: &str) -> Self {
        Self::Failed(SourceFailure { kind, message: truncate(message) })
    }

    pub(super) fn malformed(what: &str) -> Self {
        Self::new(
            SourceFailureKind::Malformed,
            &format!("{what}: is this the address of an API server?"),
        )
    }

    /// Maps a Kubernetes status, of an HTTP response or of a watch.
    pub(super) fn from_status(code: u16, message: &str) -> Self {
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
}

impl From<kube::Error> for RequestError {
    fn from(error: kube::Error) -> Self {
        let kind = match &error {
            kube::Error::Api(status) => return Self::from_status(status.code, &status.message),
            kube::Error::Auth(_) => SourceFailureKind::Unauthorized,
            kube::Error::HyperError(_) | kube::Error::Service(_) => SourceFailureKind::Unreachable,
            _ => SourceFailureKind::Malformed,
        };
        Self::new(kind, &error_chain(&error))
    }
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
        let kind = |code| match RequestError::from_status(code, "why") {
            RequestError::Failed(failure) => Some((failure.kind, failure.message.contains("why"))),
            RequestError::Expired | RequestError::TooLong => None,
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
    fn truncate_yields_one_short_line() {
        assert_eq!(truncate(" a\nb\u{1b}c "), "a b c");
        assert_eq!(truncate(&"x".repeat(10_000)).len(), MAX_MESSAGE_CHARS);
    }

    #[test]
    fn error_chain_repeats_no_cause() {
        let inner = std::io::Error::other("refused");
        let error = kube::Error::Service(Box::new(inner));
        let RequestError::Failed(trouble) = RequestError::from(error) else {
            panic!();
        };
        assert_eq!(trouble.kind, SourceFailureKind::Unreachable);
        assert_eq!(trouble.message, "ServiceError: refused");
    }
}
