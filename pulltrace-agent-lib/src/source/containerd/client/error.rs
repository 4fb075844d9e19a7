//! Errors of calls to containerd.

use std::error::Error;
use std::fmt::Write as _;
use std::time::Duration;

use tonic::{Code, Status};

/// Timeout of a call, to the end of its response.
pub(crate) const DEADLINE: Duration = Duration::from_secs(2);

/// A failed call to containerd. The variant identifies the call. [`is_transient`](Self::is_transient)
/// reports whether a retry may help.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The socket path is invalid.
    #[error("invalid socket path `{path}`: {reason}")]
    Socket {
        /// The path.
        path: String,
        /// The problem.
        reason: String,
    },
    /// `Version.Version`.
    #[error("failed to get the version of containerd")]
    Version(#[source] Cause),
    /// `Namespaces.List`.
    #[error("failed to list namespaces")]
    Namespaces(#[source] Cause),
    /// `Content.ListStatuses`.
    #[error("failed to list ingests")]
    Ingests(#[source] Cause),
    /// `Leases.List`.
    #[error("failed to list leases")]
    Leases(#[source] Cause),
    /// `Leases.ListResources`.
    #[error("failed to list the resources of a lease")]
    Resources(#[source] Cause),
    /// `Content.Info`.
    #[error("failed to get the metadata of a blob")]
    Info(#[source] Cause),
    /// `Content.Read`.
    #[error("failed to read a blob")]
    Read(#[source] Cause),
    /// `Snapshots.Stat`.
    #[error("failed to stat a snapshot")]
    Stat(#[source] Cause),
    /// `Snapshots.Usage`.
    #[error("failed to get the usage of a snapshot")]
    Usage(#[source] Cause),
    /// `Images.List` or `Images.Get`.
    #[error("failed to look up an image record")]
    Images(#[source] Cause),
    /// `Events.Subscribe`.
    #[error("event stream lost")]
    Events(#[source] Cause),
}

/// The cause of a failed call to containerd.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Cause {
    /// The connection failed or was lost.
    #[error("{0}")]
    Unreachable(String),
    /// containerd did not answer in time.
    #[error("no response within {} s", DEADLINE.as_secs())]
    Timeout,
    /// The object does not exist.
    #[error("not found")]
    NotFound,
    /// The response is invalid.
    #[error("invalid response: {0}")]
    InvalidResponse(String),
    /// containerd returned an error.
    #[error("{code}: {message}")]
    Refused {
        /// The name of the gRPC code: `PermissionDenied`.
        code: String,
        /// containerd's message.
        message: String,
        /// True if the same call may succeed later.
        transient: bool,
    },
}

impl ClientError {
    /// Returns the cause; `None` if no call was made.
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

    /// Returns whether the same call may succeed later without a change of configuration.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        self.cause().is_some_and(Cause::is_transient)
    }

    /// Returns whether the connection was lost, so that other calls would fail as well.
    #[must_use]
    pub fn is_disconnect(&self) -> bool {
        matches!(self.cause(), Some(Cause::Unreachable(_)))
    }
}

impl Cause {
    /// Returns whether the same call may succeed later without a change of configuration.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::Timeout => true,
            Self::NotFound | Self::InvalidResponse(_) => false,
            Self::Refused { transient, .. } => *transient,
        }
    }

    pub(super) fn from_status(status: &Status) -> Self {
        let text = |text: &str| text.chars().take(300).collect::<String>();
        // Errors from containerd have no source; transport errors of this side have one.
        let transport = status.source().is_some();
        match status.code() {
            Code::NotFound => Self::NotFound,
            Code::Unavailable => Self::Unreachable(text(status.message())),
            Code::Unknown | Code::Cancelled | Code::Internal if transport => {
                Self::Unreachable(text(&innermost_message(status)))
            }
            code => Self::Refused {
                code: format!("{code:?}"),
                message: text(status.message()),
                transient: matches!(
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

/// Returns the error code for metrics; `None` for statuses that count as an answer.
pub(super) fn error_code(status: &Status) -> Option<&'static str> {
    let word = match (Cause::from_status(status), status.code()) {
        (Cause::NotFound, _) | (_, Code::Ok) => return None,
        (Cause::Unreachable(_), _) => CODE_UNAVAILABLE,
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
        (_, Code::Unavailable) => CODE_UNAVAILABLE,
        (_, Code::DataLoss) => "data_loss",
        (_, Code::Unauthenticated) => "unauthenticated",
    };
    Some(word)
}

/// Code of a failed or lost connection.
pub(super) const CODE_UNAVAILABLE: &str = "unavailable";

/// Code of a call that timed out.
pub(super) const CODE_DEADLINE: &str = "deadline";

/// Appends the sources, because the message is often just `transport error`.
fn innermost_message(status: &Status) -> String {
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
    fn transport_error_differs_from_containerd_status() {
        let said = Cause::from_status(&Status::unknown("bad filter"));
        assert!(matches!(&said, Cause::Refused { transient: true, .. }), "{said:?}");

        let broke = Status::from_error("broken pipe".into());
        assert_eq!(Cause::from_status(&broke), Cause::Unreachable("broken pipe".into()));
        assert!(ClientError::Leases(Cause::from_status(&broke)).is_disconnect());
    }

    #[test]
    fn status_maps_to_error_code() {
        assert_eq!(error_code(&Status::unknown("bad filter")), Some("unknown"));
        assert_eq!(error_code(&Status::from_error("broken pipe".into())), Some("unavailable"));
        assert_eq!(error_code(&Status::unavailable("down")), Some("unavailable"));
        assert_eq!(error_code(&Status::unimplemented("no")), Some("unimplemented"));
        assert_eq!(error_code(&Status::not_found("no")), None);
    }

    #[test]
    fn error_is_transient_by_status() {
        let error = |status: &Status| ClientError::Leases(Cause::from_status(status));
        assert!(error(&Status::unavailable("down")).is_transient());
        assert!(ClientError::Info(Cause::Timeout).is_transient());
        assert!(!error(&Status::failed_precondition("namespace is required")).is_transient());
        assert!(!error(&Status::unimplemented("unknown service")).is_transient());
        assert!(!error(&Status::failed_precondition("x")).is_disconnect());
    }

    #[test]
    fn long_message_is_truncated() {
        let Cause::Refused { message, .. } =
            Cause::from_status(&Status::internal("x".repeat(9_000)))
        else {
            panic!("expected Cause::Refused")
        };
        assert_eq!(message.len(), 300);
    }
}
