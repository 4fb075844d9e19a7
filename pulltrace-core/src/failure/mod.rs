//! Why a pull failed: one of a fixed set of reasons, a message, and advice.
//!
//! Failures seen in the runtime's state are reported with their reason. Error texts are classified
//! by [`FailureReason::classify`].

mod classify;
mod reason;

pub use reason::FailureReason;

/// Why a pull failed.
///
/// ```
/// use pulltrace_core::{Failure, FailureReason};
/// let observed = Failure { reason: FailureReason::Unexplained, message: None };
/// let event = Failure::from_text(r#"failed to resolve image: registry.example/app:1: not found"#);
/// let back_off = Failure::from_text("Error: ImagePullBackOff");
/// let failure = observed.refine(event).refine(back_off);
/// assert_eq!(failure.reason, FailureReason::NotFound);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The reason.
    pub reason: FailureReason,
    /// The error message, if any.
    pub message: Option<String>,
}

impl Failure {
    /// Classifies an error text. The message keeps the first [`MAX_TEXT`](Self::MAX_TEXT) bytes.
    #[must_use]
    pub fn from_text(text: &str) -> Self {
        let text = classify::truncate(text);
        Self {
            reason: FailureReason::classify(text),
            message: (!text.is_empty()).then(|| text.to_owned()),
        }
    }

    /// The number of bytes of a text that are read and kept.
    pub const MAX_TEXT: usize = classify::MAX_TEXT;

    /// Merges a later report about the same attempt.
    ///
    /// The first cause stays. A missing message is added if the reasons are the same.
    #[must_use]
    pub fn refine(self, later: Self) -> Self {
        if later.reason.specificity() > self.reason.specificity() {
            return later;
        }
        let message =
            self.message.or_else(|| later.message.filter(|_| later.reason == self.reason));
        Self { message, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use FailureReason as R;

    fn failure(reason: R, message: Option<&str>) -> Failure {
        Failure { reason, message: message.map(str::to_owned) }
    }

    #[test]
    fn vague_reason_does_not_replace_cause() {
        let cause = failure(R::NotFound, Some("app:1: not found"));
        for vague in [R::Unexplained, R::Other, R::Cancelled, R::NotFound, R::Tls] {
            let later = failure(vague, Some("later"));
            assert_eq!(cause.clone().refine(later), cause, "{vague}");
        }
    }

    #[test]
    fn specific_reason_replaces_vaguer_one() {
        let observed = failure(R::Unexplained, None);
        let cut = Failure::from_text("failed to copy: unexpected EOF");
        let cancelled = Failure::from_text("context canceled");
        let failure = Failure::from_text("app:1: not found");
        let mut now = observed;
        for later in [cut, cancelled, failure] {
            now = now.refine(later.clone());
            assert_eq!(now, later);
        }
    }

    #[test]
    fn message_is_added_for_same_reason() {
        let seen = failure(R::RuntimeRestarted, None);
        let told = Failure::from_text(
            "rpc error: code = Unavailable desc = error reading from server: EOF",
        );
        assert_eq!(seen.refine(told.clone()), told);
    }

    #[test]
    fn long_text_is_truncated() {
        let told = Failure::from_text(&"ä".repeat(9000));
        assert_eq!(told.message.unwrap().len(), Failure::MAX_TEXT);
        assert_eq!(Failure::from_text("").message, None);
    }
}
