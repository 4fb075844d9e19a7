//! What can go wrong between here and containerd, in plain words.

use std::error::Error;
use std::fmt::Write as _;

use tonic::{Code, Status};

/// A call to containerd that failed; the variant says which.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The path cannot be that of a socket.
    #[error("cannot use `{path}` as a socket: {reason}")]
    Socket {
        /// The path.
        path: String,
        /// Why not.
        reason: String,
    },
    /// `Version.Version`.
    #[error("cannot ask containerd for its version")]
    Version(#[source] Cause),
    /// `Namespaces.List`.
    #[error("cannot list the namespaces")]
    Namespaces(#[source] Cause),
    /// `Content.ListStatuses`.
    #[error("cannot list what is being written")]
    Ingests(#[source] Cause),
    /// `Leases.List`.
    #[error("cannot list the leases")]
    Leases(#[source] Cause),
    /// `Leases.ListResources`.
    #[error("cannot list what a lease holds")]
    Resources(#[source] Cause),
    /// `Content.Info`.
    #[error("cannot look up a blob")]
    Info(#[source] Cause),
    /// `Content.Read`.
    #[error("cannot read a blob")]
    Read(#[source] Cause),
    /// `Snapshots.Stat`.
    #[error("cannot look up a snapshot")]
    Stat(#[source] Cause),
    /// `Snapshots.Usage`.
    #[error("cannot measure a snapshot")]
    Usage(#[source] Cause),
    /// `Images.List` or `Images.Get`.
    #[error("cannot look up an image record")]
    Images(#[source] Cause),
    /// `Events.Subscribe`.
    #[error("the stream of events broke off")]
    Events(#[source] Cause),
}

/// Why a call failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Cause {
    /// The connection could not be made, or broke.
    #[error("{0}")]
    Unreachable(String),
    /// No answer in time.
    #[error("no answer within {} s", super::DEADLINE.as_secs())]
    Timeout,
    /// There is no such thing.
    #[error("not found")]
    NotFound,
    /// containerd answered, and the answer cannot be used.
    #[error("an answer that cannot be used: {0}")]
    Nonsense(String),
    /// containerd refused.
    #[error("{code}: {message}")]
    Refused {
        /// The gRPC code by name: `PermissionDenied`.
        code: String,
        /// containerd's own words.
        message: String,
        /// Whether the same call may succeed later.
        retryable: bool,
    },
}

impl ClientError {
    /// Why it failed; `None` where nothing was called.
    #[must_use]
    pub fn cause(&self) -> Option<&Cause> {
        match self {
            Self::Socket { .. } => None,
            Self::Version(cause)
            | Self::Namespaces(cause)
            | Self::Ingests(cause)
            | Self::Leases(cause)
            | Self::Resources(cause)
            | Self::Info(cause)
            | Self::Read(cause)
            | Self::Stat(cause)
            | Self::Usage(cause)
            | Self::Images(cause)
            | Self::Events(cause) => Some(cause),
        }
    }

    /// Whether the same call may succeed later without anybody doing something.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self.cause() {
            Some(Cause::Unreachable(_) | Cause::Timeout) => true,
            Some(Cause::Refused { retryable, .. }) => *retryable,
            Some(Cause::NotFound | Cause::Nonsense(_)) | None => false,
        }
    }

    /// Whether the connection is gone, so that every other call would fail too.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        matches!(self.cause(), Some(Cause::Unreachable(_)))
    }
}

impl Cause {
    pub(super) fn of(status: &Status) -> Self {
        let text = |text: &str| text.chars().take(300).collect::<String>();
        // What containerd says has no source; what this side found out about the connection has one.
        let transport = status.source().is_some();
        match status.code() {
            Code::NotFound => Self::NotFound,
            Code::Unavailable => Self::Unreachable(text(status.message())),
            Code::Unknown | Code::Cancelled | Code::Internal if transport => {
                Self::Unreachable(text(&innermost(status)))
            }
            code => Self::Refused {
                code: format!("{code:?}"),
                message: text(status.message()),
                retryable: matches!(
                    code,
                    Code::Unknown
                        | Code::Cancelled
                        | Code::DeadlineExceeded
                        | Code::Aborted
                        | Code::ResourceExhausted
                        | Code::Internal
                ),
            },
        }
    }
}

/// The word for a call that ended so; `None` where that was an answer.
pub(super) fn word(status: &Status) -> Option<&'static str> {
    let word = match (Cause::of(status), status.code()) {
        (Cause::NotFound, _) | (_, Code::Ok) => return None,
        (Cause::Unreachable(_), _) => UNREACHABLE,
        (_, Code::Cancelled) => "cancelled",
        (_, Code::Unknown) => "unknown",
        (_, Code::InvalidArgument) => "invalid_argument",
        (_, Code::DeadlineExceeded) => "deadline_exceeded",
        (_, Code::NotFound) => "not_found",
        (_, Code::AlreadyExists) => "already_exists",
        (_, Code::PermissionDenied) => "permission_denied",
        (_, Code::ResourceExhausted) => "resource_exhausted",
        (_, Code::FailedPrecondition) => "failed_precondition",
        (_, Code::Aborted) => "aborted",
        (_, Code::OutOfRange) => "out_of_range",
        (_, Code::Unimplemented) => "unimplemented",
        (_, Code::Internal) => "internal",
        (_, Code::Unavailable) => UNREACHABLE,
        (_, Code::DataLoss) => "data_loss",
        (_, Code::Unauthenticated) => "unauthenticated",
    };
    Some(word)
}

/// The word for a connection that could not be made, or broke.
pub(super) const UNREACHABLE: &str = "unavailable";

/// The word for an answer that did not come in time.
pub(super) const LATE: &str = "deadline";

/// An error and all that it wraps, in one line.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        // Writing to a String cannot fail.
        write!(text, ": {error}").unwrap_or_default();
        next = error.source();
    }
    text
}

/// `transport error` says nothing; what it wraps does.
fn innermost(status: &Status) -> String {
    let mut text = status.message().to_owned();
    let mut next = status.source();
    while let Some(error) = next {
        let said = error.to_string();
        if !text.contains(&said) {
            // Writing to a String cannot fail.
            write!(text, ": {said}").unwrap_or_default();
        }
        next = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_containerd_says_is_told_from_what_the_connection_did() {
        let said = Cause::of(&Status::unknown("bad filter"));
        assert!(
            matches!(
                &said,
                Cause::Refused {
                    retryable: true,
                    ..
                }
            ),
            "{said:?}"
        );

        let broke = Status::from_error("a pipe burst".into());
        assert_eq!(Cause::of(&broke), Cause::Unreachable("a pipe burst".into()));
        assert!(ClientError::Leases(Cause::of(&broke)).is_lost());
    }

    #[test]
    fn each_call_that_failed_has_the_word_of_its_status() {
        assert_eq!(word(&Status::unknown("bad filter")), Some("unknown"));
        assert_eq!(
            word(&Status::from_error("a pipe burst".into())),
            Some("unavailable")
        );
        assert_eq!(word(&Status::unavailable("down")), Some("unavailable"));
        assert_eq!(word(&Status::unimplemented("no")), Some("unimplemented"));
        assert_eq!(word(&Status::not_found("no")), None);
    }

    #[test]
    fn asking_again_helps_or_not() {
        let error = |status: &Status| ClientError::Leases(Cause::of(status));
        assert!(error(&Status::unavailable("down")).is_retryable());
        assert!(ClientError::Info(Cause::Timeout).is_retryable());
        assert!(!error(&Status::failed_precondition("namespace is required")).is_retryable());
        assert!(!error(&Status::unimplemented("unknown service")).is_retryable());
        assert!(!error(&Status::failed_precondition("x")).is_lost());
    }

    #[test]
    fn a_long_message_is_cut() {
        let Cause::Refused { message, .. } = Cause::of(&Status::internal("x".repeat(9_000))) else {
            panic!("no refusal")
        };
        assert_eq!(message.len(), 300);
    }
}
