//! Errors of the HTTP sink. Messages never contain a token, nor more of a URL than scheme, host and
//! path.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use reqwest::StatusCode;

/// The maximum length of a token. Kubernetes tokens have about 1,000 characters.
pub(super) const LONGEST_TOKEN: usize = 16 << 10;

/// An invalid setting of an [`HttpSink`](super::HttpSink). A retry does not help.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HttpSetupError {
    /// The server's URL is invalid.
    #[error("invalid server URL: {0}")]
    Url(&'static str),
    /// The token is invalid.
    #[error("failed to load the token")]
    Token(#[source] TokenError),
    /// The CA file cannot be used.
    #[error("failed to read CA certificates from `{}`", path.display())]
    CaFile {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The system has no CA certificates.
    #[error("no system CA certificates found")]
    NoSystemRoots,
    /// The HTTP client could not be created.
    #[error("failed to create the HTTP client")]
    Client(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl HttpSetupError {
    /// Returns advice for the user.
    #[must_use]
    pub const fn help(&self) -> Option<&'static str> {
        match self {
            Self::Url(_) => Some(
                "Use a URL such as https://pulltrace.example:8080, and a token for authentication.",
            ),
            Self::CaFile { .. } => {
                Some("Pass a PEM file with the CA that issued the server's certificate.")
            }
            Self::NoSystemRoots => Some("Install ca-certificates, or pass a PEM file with the CA."),
            Self::Token(_) | Self::Client(_) => None,
        }
    }
}

/// An invalid token. A retry does not help until it is fixed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// The file cannot be read.
    #[error("failed to read token file `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The I/O error.
        #[source]
        source: io::Error,
    },
    /// The file contains no token.
    #[error("token file `{}` is empty", path.display())]
    EmptyFile {
        /// The file.
        path: PathBuf,
    },
    /// The token is empty, too long, or contains characters that are not allowed in a header.
    #[error("invalid token: expected 1 to {} visible ASCII characters", LONGEST_TOKEN)]
    Invalid,
}

/// A failed request to the server. [`is_transient`](Self::is_transient) is true if a retry helps; the other
/// errors need a change of configuration.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HttpError {
    /// The connection could not be established.
    #[error("failed to connect to {server}")]
    Connect {
        /// The server.
        server: String,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The TLS handshake failed, usually because the certificate is not trusted.
    #[error("TLS handshake with {server} failed")]
    Tls {
        /// The server.
        server: String,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The server did not answer in time.
    #[error("{server} did not respond within {} s", super::TIMEOUT.as_secs())]
    Timeout {
        /// The server.
        server: String,
    },
    /// The connection was lost before the response was complete.
    #[error("connection to {server} lost")]
    Disconnected {
        /// The server.
        server: String,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// 401: a token is required, and none was sent.
    #[error("{server} requires a token")]
    TokenRequired {
        /// The server.
        server: String,
    },
    /// 401: the token was rejected.
    #[error("{server} rejected the agent's token{detail}")]
    TokenRejected {
        /// The server.
        server: String,
        /// The server's message.
        detail: Detail,
    },
    /// 403: the token does not permit this report.
    #[error("{server} does not permit this agent to report for this node{detail}")]
    Forbidden {
        /// The server.
        server: String,
        /// The server's message.
        detail: Detail,
    },
    /// 409: another agent reports for this node.
    #[error("another agent reports to {server} for this node{detail}")]
    Conflict {
        /// The server.
        server: String,
        /// The server's message.
        detail: Detail,
    },
    /// 413: the report exceeds the server's size limit.
    #[error(
        "report too large for {server}: the limit of the server is below {} KiB{detail}",
        super::MAX_BODY / 1024
    )]
    TooLarge {
        /// The server.
        server: String,
        /// The server's message.
        detail: Detail,
    },
    /// 429, or 503 with `Retry-After`: the server is overloaded.
    #[error("{server} is overloaded{detail}")]
    Busy {
        /// The server.
        server: String,
        /// The value of `Retry-After`.
        retry_after: Option<Duration>,
        /// The server's message.
        detail: Detail,
    },
    /// 3xx: redirects are not followed, because the token is meant for this server only.
    #[error("{server} returned a redirect ({status})")]
    Redirected {
        /// The server.
        server: String,
        /// The status.
        status: u16,
    },
    /// Any other 4xx.
    #[error("{server} rejected the request with {status}{detail}")]
    Rejected {
        /// The server.
        server: String,
        /// The status.
        status: u16,
        /// The server's message.
        detail: Detail,
    },
    /// 5xx: an internal error of the server.
    #[error("{server} failed with {status}{detail}")]
    ServerError {
        /// The server.
        server: String,
        /// The status.
        status: u16,
        /// The value of `Retry-After`.
        retry_after: Option<Duration>,
        /// The server's message.
        detail: Detail,
    },
    /// A response that a pulltrace server never sends.
    #[error("{server} is not a pulltrace server: {what}")]
    UnexpectedResponse {
        /// The server.
        server: String,
        /// Description of the response.
        what: &'static str,
    },
}

impl HttpError {
    /// Returns whether the same request may succeed later without a change of configuration.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        match self {
            Self::Connect { .. }
            | Self::Timeout { .. }
            | Self::Disconnected { .. }
            | Self::Busy { .. }
            | Self::ServerError { .. } => true,
            Self::Tls { .. }
            | Self::TokenRequired { .. }
            | Self::TokenRejected { .. }
            | Self::Forbidden { .. }
            | Self::Conflict { .. }
            | Self::TooLarge { .. }
            | Self::Redirected { .. }
            | Self::Rejected { .. }
            | Self::UnexpectedResponse { .. } => false,
        }
    }

    /// Returns advice for the user.
    #[must_use]
    pub const fn help(&self) -> Option<&'static str> {
        match self {
            Self::Connect { .. } => {
                Some("Check that the server is running and that its URL is correct.")
            }
            Self::Tls { .. } => {
                Some("Pass a PEM file with the CA that issued the server's certificate.")
            }
            Self::TokenRequired { .. } => Some("Configure a token for the agent."),
            Self::TokenRejected { .. } => Some("Configure the same token on agent and server."),
            Self::Conflict { .. } => Some("Stop one of the agents, or change its node name."),
            Self::Redirected { .. } => Some("Use the URL of the server itself."),
            Self::Rejected { .. } => {
                Some("Check that the URL is that of a pulltrace server of a compatible version.")
            }
            Self::ServerError { .. } => Some("Check the server's log."),
            _ => None,
        }
    }

    /// Returns the value of the server's `Retry-After`.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Busy { retry_after, .. } | Self::ServerError { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// Converts a failure without a response.
    pub(super) fn from_reqwest(server: &str, error: &reqwest::Error) -> Self {
        let server = server.to_owned();
        let mut root: &(dyn std::error::Error + 'static) = error;
        let mut tls = false;
        loop {
            tls |= root.is::<rustls::Error>();
            // `io::Error::source` skips the wrapped error itself.
            let wrapped = root.downcast_ref().and_then(io::Error::get_ref);
            match wrapped.map_or_else(|| root.source(), |inner| Some(inner as _)) {
                Some(deeper) => root = deeper,
                None => break,
            }
        }
        let source: Box<dyn std::error::Error + Send + Sync> = root.to_string().into();
        if tls {
            Self::Tls { server, source }
        } else if error.is_timeout() {
            Self::Timeout { server }
        } else if error.is_connect() {
            Self::Connect { server, source }
        } else {
            Self::Disconnected { server, source }
        }
    }

    /// Converts an error status.
    pub(super) fn from_status(
        server: &str,
        status: StatusCode,
        retry_after: Option<Duration>,
        detail: Detail,
        with_token: bool,
    ) -> Self {
        let server = server.to_owned();
        match status.as_u16() {
            401 if !with_token => Self::TokenRequired { server },
            401 => Self::TokenRejected { server, detail },
            403 => Self::Forbidden { server, detail },
            409 => Self::Conflict { server, detail },
            413 => Self::TooLarge { server, detail },
            429 => Self::Busy { server, retry_after, detail },
            503 if retry_after.is_some() => Self::Busy { server, retry_after, detail },
            status @ 300..=399 => Self::Redirected { server, status },
            status @ 400..=499 => Self::Rejected { server, status, detail },
            status => Self::ServerError { server, status, retry_after, detail },
        }
    }
}

/// A server's error message, limited to one line of 200 characters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Detail(String);

impl Detail {
    const MAX_CHARS: usize = 200;

    /// Cleans a message. Returns an empty one if it contains the secret.
    pub(super) fn from_text(text: &str, secret: Option<&str>) -> Self {
        if secret.is_some_and(|secret| text.contains(secret)) {
            return Self::default();
        }
        let line = text.split(char::is_whitespace).filter(|w| !w.is_empty());
        let line = line.collect::<Vec<_>>().join(" ");
        Self(line.chars().filter(|c| !c.is_control()).take(Self::MAX_CHARS).collect())
    }

    /// Returns the message; empty if the server sent none.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Appends the message in parentheses, after a space.
impl std::fmt::Display for Detail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.is_empty() {
            return Ok(());
        }
        write!(f, " (server message: {})", self.0)
    }
}
