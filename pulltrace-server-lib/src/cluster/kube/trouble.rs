//! Why a request failed → what is said of it; and how long to wait before the next.

use std::hash::{BuildHasher as _, Hasher as _};
use std::time::Duration;

use crate::cluster::{Trouble, TroubleKind};

/// The most characters of a text that is passed on.
const MOST: usize = 300;

/// The first wait is half of this to all of it.
const FIRST: Duration = Duration::from_millis(500);
/// No wait is longer.
const LONGEST: Duration = Duration::from_secs(30);

/// A request that did not get what it asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// What it went on from is forgotten: `410 Gone`.
    Expired,
    /// The answer is longer than what is taken.
    TooLong,
    /// Anything else.
    Trouble(Trouble),
}

impl Failure {
    pub(super) fn new(kind: TroubleKind, message: &str) -> Self {
        Self::Trouble(Trouble {
            kind,
            message: cut(message),
        })
    }

    pub(super) fn odd(what: &str) -> Self {
        Self::new(
            TroubleKind::Odd,
            &format!("{what}: is that the address of an API server?"),
        )
    }

    /// What a status of Kubernetes says, of HTTP or within a watch.
    pub(super) fn of_status(code: u16, message: &str) -> Self {
        match code {
            410 => Self::Expired,
            401 => Self::new(
                TroubleKind::Unauthorized,
                &format!("the API server does not accept the credentials: {message}"),
            ),
            403 => Self::new(
                TroubleKind::Forbidden,
                &format!("{message}: allow `list` and `watch` by RBAC"),
            ),
            429 | 500.. => Self::new(
                TroubleKind::Unreachable,
                &format!("the API server answered {code}: {message}"),
            ),
            _ => Self::odd(&format!("the answer was {code}: {message}")),
        }
    }
}

impl From<kube::Error> for Failure {
    fn from(error: kube::Error) -> Self {
        let kind = match &error {
            kube::Error::Api(status) => return Self::of_status(status.code, &status.message),
            kube::Error::Auth(_) => TroubleKind::Unauthorized,
            kube::Error::HyperError(_) | kube::Error::Service(_) => TroubleKind::Unreachable,
            _ => TroubleKind::Odd,
        };
        Self::new(kind, &chain(&error))
    }
}

/// An error with what caused it, each said once.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let said = cause.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        next = cause.source();
    }
    text
}

/// One line of a text, of bounded length.
pub(super) fn cut(text: &str) -> String {
    let line = text
        .trim()
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c });
    line.take(MOST).collect()
}

/// Waits that double, each shortened at random so that not all who lost a server come back at once.
#[derive(Debug, Default)]
pub(super) struct Backoff(u32);

impl Backoff {
    pub(super) fn reset(&mut self) {
        self.0 = 0;
    }

    pub(super) async fn wait(&mut self) {
        // The hasher is the standard library's only source of randomness.
        let random = std::hash::RandomState::new().build_hasher().finish();
        let wait = self.next(f64::from(u32::try_from(random >> 32).unwrap_or(0)) / 2f64.powi(32));
        tokio::time::sleep(wait).await;
    }

    /// `random` is from 0 to 1.
    fn next(&mut self, random: f64) -> Duration {
        let whole = FIRST.saturating_mul(1 << self.0).min(LONGEST);
        self.0 = (self.0 + 1).min(16);
        whole.mul_f64(0.5 + random / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_retry_comes_within_a_second_and_each_within_thirty() {
        let mut backoff = Backoff::default();
        let waits: Vec<u128> = (0..40).map(|_| backoff.next(1.0).as_millis()).collect();
        assert_eq!(
            waits[..7],
            [500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000]
        );
        assert_eq!(waits[39], 30_000);
        backoff.reset();
        assert_eq!(backoff.next(0.0), Duration::from_millis(250));
    }

    #[test]
    fn statuses_are_told_apart() {
        let kind = |code| match Failure::of_status(code, "why") {
            Failure::Trouble(trouble) => Some((trouble.kind, trouble.message.contains("why"))),
            Failure::Expired | Failure::TooLong => None,
        };
        assert_eq!(kind(410), None);
        for (code, is) in [
            (401, TroubleKind::Unauthorized),
            (403, TroubleKind::Forbidden),
            (429, TroubleKind::Unreachable),
            (500, TroubleKind::Unreachable),
            (503, TroubleKind::Unreachable),
            (404, TroubleKind::Odd),
            (0, TroubleKind::Odd),
        ] {
            assert_eq!(kind(code), Some((is, true)), "{code}");
        }
    }

    #[test]
    fn a_text_is_one_short_line() {
        assert_eq!(cut(" a\nb\u{1b}c "), "a b c");
        assert_eq!(cut(&"x".repeat(10_000)).len(), MOST);
    }

    #[test]
    fn an_error_is_said_with_its_causes_once() {
        let inner = std::io::Error::other("refused");
        let error = kube::Error::Service(Box::new(inner));
        let Failure::Trouble(trouble) = Failure::from(error) else {
            panic!();
        };
        assert_eq!(trouble.kind, TroubleKind::Unreachable);
        assert_eq!(trouble.message, "ServiceError: refused");
    }
}
