//! What can go wrong, and whether to try again.

use std::path::PathBuf;
use std::time::Duration;

use pulltrace_core::wire::v1::{Problem, PullStatus};

type Source = Box<dyn std::error::Error + Send + Sync>;

/// Why there is no client. A retry does not help.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SetupError {
    /// The server's URL is none that can be asked. It is not repeated: it may have a password in it.
    #[error("the server's URL is not accepted: {0}; give it as http://HOST:PORT or https://HOST")]
    Url(&'static str),
    /// The token cannot be sent.
    #[error("there is no token to send")]
    Token(#[source] TokenError),
    /// The system trusts no certificate authority.
    #[error("no certificate authorities were found; install the package ca-certificates")]
    NoRoots,
    /// The HTTP client cannot be made.
    #[error("the HTTP client cannot be made")]
    Client(#[source] Source),
}

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// The file cannot be read. A retry helps once it can.
    #[error("the token file {path} cannot be read")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It is empty, too long, or has other than visible ASCII.
    #[error("the token is not one line of visible ASCII, of 16 KiB at the most")]
    Characters,
}

/// Why a request has no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The server was not reached, or did not answer in time or to its end. A retry helps once it
    /// does.
    #[error("the server at {server} does not answer")]
    Unreachable {
        /// The server.
        server: String,
        /// Why.
        #[source]
        source: Source,
    },
    /// The server refused. A retry helps where [`is_transient`](Self::is_transient) says so.
    #[error("the server at {server} answers {status}{}", said(.problem.as_ref()))]
    Refused {
        /// The server.
        server: String,
        /// The status.
        status: u16,
        /// What it said, if that was a problem of this API.
        problem: Option<Problem>,
        /// After how long it wants to be asked again.
        retry_after: Option<Duration>,
    },
    /// The answer is none of this API. A retry does not help: something else answers there.
    #[error("what answers at {server} is no pulltrace server: {what}")]
    NotOurs {
        /// The server.
        server: String,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The answer cannot be read. A retry does not help: the versions of client and server differ.
    #[error("the answer of {server} is not understood")]
    NotUnderstood {
        /// The server.
        server: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// There is no token to send.
    #[error("there is no token to send")]
    Token(#[source] TokenError),
}

impl RequestError {
    /// Whether a retry may help.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Token(TokenError::Read { .. }) => true,
            Self::Refused { status, .. } => matches!(status, 408 | 429 | 500..=599),
            Self::NotOurs { .. } | Self::NotUnderstood { .. } | Self::Token(_) => false,
        }
    }

    /// Whether a pulltrace server says that there is nothing of that name.
    pub(crate) fn is_not_found(&self) -> bool {
        let Self::Refused {
            status: 404,
            problem: Some(problem),
            ..
        } = self
        else {
            return false;
        };
        problem.reason == "not_found"
    }

    /// After how long the server wants to be asked again, where it says so.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

fn said(problem: Option<&Problem>) -> String {
    problem.map_or_else(String::new, |problem| match &problem.detail {
        Some(detail) => format!(": {}: {detail}", problem.title),
        None => format!(": {}", problem.title),
    })
}

/// Why a stream ended. It goes on by itself over everything that time may cure, so a retry with the
/// same settings does not help.
#[derive(Debug, thiserror::Error)]
#[error("the events cannot be followed")]
pub struct FollowError(#[from] RequestError);

impl FollowError {
    /// What was refused.
    #[must_use]
    pub const fn request(&self) -> &RequestError {
        &self.0
    }
}

/// Why a wait ended without what was waited for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WaitError {
    /// There is no such pull, or it is kept no more.
    #[error("there is no pull {0}, or the server keeps it no more")]
    NotFound(String),
    /// The pull ended otherwise.
    #[error("pull {} ended otherwise: {}", .0.id, ended(.0))]
    Ended(Box<PullStatus>),
    /// The server refused what no retry cures.
    #[error(transparent)]
    Follow(#[from] FollowError),
}

fn ended(pull: &PullStatus) -> String {
    let outcome = serde_json::to_value(pull.outcome).unwrap_or_default();
    let outcome = outcome.as_str().unwrap_or("unknown").to_owned();
    match &pull.error {
        Some(error) => format!("{outcome}, {error}"),
        None => outcome,
    }
}
