//! Errors, and whether a retry can help.

use std::path::PathBuf;
use std::time::Duration;

use pulltrace_core::wire::v1::{Outcome, Problem, PullStatus};

type Source = Box<dyn std::error::Error + Send + Sync>;

/// A failure to create a client. A retry does not help until the cause is fixed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SetupError {
    /// The server's URL is invalid. The URL is omitted, as it may contain a password.
    #[error("invalid server URL: {0}")]
    Url(&'static str),
    /// The token cannot be read or is invalid.
    #[error("failed to load the token")]
    Token(#[source] TokenError),
    /// The system has no trusted certificate authorities.
    #[error("no system CA certificates found")]
    NoCaCertificates,
    /// The HTTP client cannot be created.
    #[error("failed to create the HTTP client")]
    Client(#[source] Source),
}

impl SetupError {
    /// Returns advice for the user.
    #[must_use]
    pub const fn help(&self) -> Option<&'static str> {
        match self {
            Self::Url(_) => Some(
                "Use a URL such as https://pulltrace.example:8080, and a token for authentication.",
            ),
            Self::NoCaCertificates => Some("Install the package ca-certificates."),
            Self::Token(_) | Self::Client(_) => None,
        }
    }
}

/// An unusable token.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// The file cannot be read. A retry may help.
    #[error("failed to read token file {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// The token is empty, too long, or contains characters other than visible ASCII. A retry does
    /// not help.
    #[error("invalid token: expected one line of visible ASCII, at most 16 KiB")]
    Invalid,
}

/// A failed request to the server.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The server could not be reached, or did not send a complete response in time. A retry may
    /// help.
    #[error("failed to reach the server at {server}")]
    Unreachable {
        /// The server.
        server: String,
        /// The cause.
        #[source]
        source: Source,
    },
    /// The server returned an error. [`is_transient`](Self::is_transient) reports whether a retry
    /// may help.
    #[error("the server at {server} returned {status}{}", describe_problem(.problem.as_ref()))]
    Rejected {
        /// The server.
        server: String,
        /// The HTTP status.
        status: u16,
        /// The problem document, if the response contains one.
        problem: Option<Problem>,
        /// The delay that the server requested (`Retry-After`).
        retry_after: Option<Duration>,
    },
    /// The response is not from this API: the URL probably belongs to another service. A retry does
    /// not help.
    #[error("{server} is not a pulltrace server: {what}")]
    NotPulltrace {
        /// The server.
        server: String,
        /// The difference from a pulltrace response.
        what: &'static str,
    },
    /// The response cannot be parsed. A retry does not help, as the versions of client and server
    /// are incompatible.
    #[error("failed to parse the response from {server}")]
    InvalidResponse {
        /// The server.
        server: String,
        /// The cause.
        #[source]
        source: serde_json::Error,
    },
    /// The token cannot be read or is invalid.
    #[error("failed to load the token")]
    Token(#[source] TokenError),
}

impl RequestError {
    /// Reports whether a retry may help.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Token(TokenError::Read { .. }) => true,
            Self::Rejected { status, .. } => matches!(status, 408 | 429 | 500..=599),
            Self::NotPulltrace { .. } | Self::InvalidResponse { .. } | Self::Token(_) => false,
        }
    }

    /// Reports whether a pulltrace server, not a proxy before it, returned 404.
    pub(crate) fn is_not_found(&self) -> bool {
        let Self::Rejected { status: 404, problem: Some(problem), .. } = self else {
            return false;
        };
        problem.reason == "not_found"
    }

    /// Returns the delay before a retry, if the server requested one.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Rejected { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

fn describe_problem(problem: Option<&Problem>) -> String {
    problem.map_or_else(String::new, |problem| match &problem.detail {
        Some(detail) => format!(": {}: {detail}", problem.title),
        None => format!(": {}", problem.title),
    })
}

/// The reason for skipping an event. A retry does not help.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EventError {
    /// The event is not valid in this version.
    #[error("invalid event")]
    Invalid(#[from] serde_json::Error),
    /// The event is longer than 4 MiB, or a line is longer than 1 MiB.
    #[error("event exceeds the maximum length")]
    TooLong,
}

/// The error that ended a stream. A retry does not help: streams retry transient errors themselves.
#[derive(Debug, thiserror::Error)]
#[error("failed to follow the stream")]
pub struct FollowError(#[from] RequestError);

impl FollowError {
    /// Returns the error of the request.
    #[must_use]
    pub const fn request(&self) -> &RequestError {
        &self.0
    }
}

/// A failure to wait for a pull. A retry does not help.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WaitError {
    /// The pull is unknown or has expired.
    #[error("pull {0} not found or expired")]
    NotFound(String),
    /// The pull ended without completing.
    #[error("pull {} did not complete: {}", .0.id, describe_end(.0))]
    Ended(Box<PullStatus>),
    /// Following the pull failed with an error that a retry cannot fix.
    #[error(transparent)]
    Follow(#[from] FollowError),
}

fn describe_end(pull: &PullStatus) -> String {
    let outcome = pull.outcome.unwrap_or(Outcome::Unknown);
    match &pull.error {
        Some(error) => format!("{outcome}, {error}"),
        None => outcome.to_string(),
    }
}
