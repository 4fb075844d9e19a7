//! Errors of the HTTP sink. Messages never contain a token, nor more of a URL than scheme, host and
//! path.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use reqwest::StatusCode;

/// Timeout of a request, to the end of the response.
pub(super) const TIMEOUT: Duration = Duration::from_secs(10);

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

/// A failed request to the server. Most kinds need a change of configuration;
/// [`is_transient`](Self::is_transient) is true for those that a retry may resolve.
///
/// ```
/// use pulltrace_agent_lib::sink::http::{HttpErrorKind, HttpSink};
///
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let sink = HttpSink::builder("http://127.0.0.1:9").build()?;
/// let error = sink.check_health().await.unwrap_err();
/// assert_eq!(error.kind(), HttpErrorKind::Connect);
/// assert!(error.is_transient());
/// # Ok(()) }
/// ```
#[derive(Debug, thiserror::Error)]
pub struct HttpError {
    server: String,
    kind: HttpErrorKind,
    detail: Detail,
    retry_after: Option<Duration>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// The kind of an [`HttpError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HttpErrorKind {
    /// The connection could not be established.
    Connect,
    /// The TLS handshake failed, usually because the certificate is not trusted.
    Tls,
    /// The server did not answer in time.
    Timeout,
    /// The connection was lost before the response was complete.
    Disconnected,
    /// 401: a token is required, and none was sent.
    TokenRequired,
    /// 401: the token was rejected.
    TokenRejected,
    /// 403: the token does not permit this report.
    Forbidden,
    /// 409: another agent reports for this node.
    Conflict,
    /// 413: the report exceeds the server's size limit.
    TooLarge,
    /// 429, or 503 with `Retry-After`: the server is overloaded.
    Busy,
    /// 3xx: redirects are not followed, because the token is meant for this server only.
    Redirected(u16),
    /// Any other 4xx.
    Rejected(u16),
    /// 5xx: an internal error of the server.
    ServerError(u16),
    /// A response that a pulltrace server never sends, and its description.
    UnexpectedResponse(&'static str),
}

impl HttpErrorKind {
    const fn is_transient(self) -> bool {
        match self {
            Self::Connect
            | Self::Timeout
            | Self::Disconnected
            | Self::Busy
            | Self::ServerError(_) => true,
            Self::Tls
            | Self::TokenRequired
            | Self::TokenRejected
            | Self::Forbidden
            | Self::Conflict
            | Self::TooLarge
            | Self::Redirected(_)
            | Self::Rejected(_)
            | Self::UnexpectedResponse(_) => false,
        }
    }

    const fn help(self) -> Option<&'static str> {
        match self {
            Self::Connect => Some("Check that the server is running and that its URL is correct."),
            Self::Tls => Some("Pass a PEM file with the CA that issued the server's certificate."),
            Self::TokenRequired => Some("Configure a token for the agent."),
            Self::TokenRejected => Some("Configure the same token on agent and server."),
            Self::Conflict => Some("Stop one of the agents, or change its node name."),
            Self::Redirected(_) => Some("Use the URL of the server itself."),
            Self::Rejected(_) => {
                Some("Check that the URL is that of a pulltrace server of a compatible version.")
            }
            Self::ServerError(_) => Some("Check the server's log."),
            _ => None,
        }
    }

    /// Returns the text of the error. `docs/errors.md` is generated from it.
    fn text(self, server: &str, detail: &Detail) -> String {
        match self {
            Self::Connect => format!("failed to connect to {server}"),
            Self::Tls => format!("TLS handshake with {server} failed"),
            Self::Timeout => {
                format!("{server} did not respond within {} s", TIMEOUT.as_secs())
            }
            Self::Disconnected => format!("connection to {server} lost"),
            Self::TokenRequired => format!("{server} requires a token"),
            Self::TokenRejected => format!("{server} rejected the agent's token{detail}"),
            Self::Forbidden => {
                format!("{server} does not permit this agent to report for this node{detail}")
            }
            Self::Conflict => {
                format!("another agent reports to {server} for this node{detail}")
            }
            Self::TooLarge => format!(
                "report too large for {server}: the limit of the server is below {} KiB{detail}",
                super::body::MAX_BODY / 1024
            ),
            Self::Busy => format!("{server} is overloaded{detail}"),
            Self::Redirected(status) => format!("{server} returned a redirect ({status})"),
            Self::Rejected(status) => {
                format!("{server} rejected the request with {status}{detail}")
            }
            Self::ServerError(status) => format!("{server} failed with {status}{detail}"),
            Self::UnexpectedResponse(what) => {
                format!("{server} is not a pulltrace server: {what}")
            }
        }
    }
}

impl HttpError {
    pub(super) fn new(server: &str, kind: HttpErrorKind) -> Self {
        let server = server.to_owned();
        Self { server, kind, detail: Detail::default(), retry_after: None, source: None }
    }

    /// Converts a failure without a response.
    pub(super) fn from_reqwest(server: &str, error: &reqwest::Error) -> Self {
        let mut root: &(dyn std::error::Error + 'static) = error;
        let mut is_tls = false;
        loop {
            is_tls |= root.is::<rustls::Error>();
            // `io::Error::source` skips the wrapped error itself.
            let wrapped = root.downcast_ref().and_then(io::Error::get_ref);
            match wrapped.map_or_else(|| root.source(), |inner| Some(inner as _)) {
                Some(deeper) => root = deeper,
                None => break,
            }
        }
        let kind = if is_tls {
            HttpErrorKind::Tls
        } else if error.is_timeout() {
            return Self::new(server, HttpErrorKind::Timeout);
        } else if error.is_connect() {
            HttpErrorKind::Connect
        } else {
            HttpErrorKind::Disconnected
        };
        Self { source: Some(root.to_string().into()), ..Self::new(server, kind) }
    }

    /// Converts an error status.
    pub(super) fn from_status(
        server: &str,
        status: StatusCode,
        retry_after: Option<Duration>,
        detail: Detail,
        with_token: bool,
    ) -> Self {
        let kind = match status.as_u16() {
            401 if !with_token => HttpErrorKind::TokenRequired,
            401 => HttpErrorKind::TokenRejected,
            403 => HttpErrorKind::Forbidden,
            409 => HttpErrorKind::Conflict,
            413 => HttpErrorKind::TooLarge,
            429 => HttpErrorKind::Busy,
            503 if retry_after.is_some() => HttpErrorKind::Busy,
            status @ 300..=399 => HttpErrorKind::Redirected(status),
            status @ 400..=499 => HttpErrorKind::Rejected(status),
            status => HttpErrorKind::ServerError(status),
        };
        let retry_after = retry_after.filter(|_| kind.is_transient());
        Self { detail, retry_after, ..Self::new(server, kind) }
    }

    /// Returns the kind of the failure.
    #[must_use]
    pub const fn kind(&self) -> HttpErrorKind {
        self.kind
    }

    /// Returns whether the same request may succeed later without a change of configuration.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        self.kind.is_transient()
    }

    /// Returns advice for the user.
    #[must_use]
    pub const fn help(&self) -> Option<&'static str> {
        self.kind.help()
    }

    /// Returns the value of the server's `Retry-After`, if it is overloaded or failed.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// Returns the server's error message, limited to one line of 200 characters; empty if it sent
    /// none.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.detail.0
    }
}

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.kind.text(&self.server, &self.detail))
    }
}

/// A server's error message, limited to one line of 200 characters.
#[derive(Debug, Default)]
pub(super) struct Detail(String);

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
}

/// Appends the message in parentheses, after a space.
impl fmt::Display for Detail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return Ok(());
        }
        write!(f, " (server message: {})", self.0)
    }
}
