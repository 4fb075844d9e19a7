//! Request errors and retry back-off.

use std::hash::{BuildHasher as _, Hasher as _};
use std::time::Duration;

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

/// An error with its sources; texts that are already included are not repeated.
fn error_chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let message = cause.to_string();
        if !text.contains(&message) {
            text = format!("{text}: {message}");
        }
        next = cause.source();
    }
    text
}

/// Reduces a text to one line of limited length.
pub(super) fn truncate(text: &str) -> String {
    let line = text.trim().chars().map(|c| if c.is_control() { ' ' } else { c });
    line.take(MAX_MESSAGE_CHARS).collect()
}

/// Exponential back-off with jitter, so that clients that lost a server do not all reconnect at
/// once.
#[derive(Debug, Default)]
pub(super) struct Backoff(u32);

impl Backoff {
    pub(super) fn reset(&mut self) {
        self.0 = 0;
    }

    pub(super) async fn wait(&mut self) {
        // The standard library's hasher is its only source of randomness.
        let random = std::hash::RandomState::new().build_hasher().finish();
        let wait =
            self.next_delay(f64::from(u32::try_from(random >> 32).unwrap_or(0)) / 2f64.powi(32));
        tokio::time::sleep(wait).await;
    }

    /// `random` is between 0 and 1.
    fn next_delay(&mut self, random: f64) -> Duration {
        let whole = INITIAL_BACKOFF.saturating_mul(1 << self.0).min(MAX_BACKOFF);
        self.0 = (self.0 + 1).min(16);
        whole.mul_f64(0.5 + random / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_doubles_up_to_30_s() {
        let mut backoff = Backoff::default();
        let waits: Vec<u128> = (0..40).map(|_| backoff.next_delay(1.0).as_millis()).collect();
        assert_eq!(waits[..7], [500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000]);
        assert_eq!(waits[39], 30_000);
        backoff.reset();
        assert_eq!(backoff.next_delay(0.0), Duration::from_millis(250));
    }

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
