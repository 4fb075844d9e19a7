//! What can go wrong between an agent and its server, in plain words. No message has a token in it, or
//! of a URL more than scheme, host and path.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use reqwest::StatusCode;

/// The longest token; a token of Kubernetes has about 1,000 characters.
pub(super) const LONGEST_TOKEN: usize = 16 << 10;

/// A setting of an [`HttpSink`](super::HttpSink) that cannot work. A retry does not help.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HttpSetupError {
    /// The URL of the server is none that reports can go to.
    #[error("no URL of a server: {0}; accepted is one like https://pulltrace.example:8080")]
    Url(&'static str),
    /// The token cannot be sent.
    #[error("the token cannot be used")]
    Token(#[source] TokenError),
    /// The file of certificates cannot be used.
    #[error(
        "cannot read the certificates in `{}`: give a PEM file with those that the server's goes back to",
        path.display()
    )]
    CaFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The system trusts nobody.
    #[error(
        "this system has no certificates to know a server by: install ca-certificates, or give a file of them"
    )]
    NoRoots,
    /// The HTTP client cannot be made.
    #[error("the HTTP client cannot be made")]
    Client(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// A token that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// The file cannot be read.
    #[error("cannot read the token file `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// There is no token in the file.
    #[error("the token file `{}` is empty", path.display())]
    EmptyFile {
        /// The file.
        path: PathBuf,
    },
    /// It is empty, too long, or has other characters than a header may carry.
    #[error("a token is 1 to {} visible ASCII characters", LONGEST_TOKEN)]
    Characters,
}

/// A report, or a question to the server, that did not succeed. A retry helps where
/// [`is_transient`](Self::is_transient) says so; otherwise once somebody did what the message says.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HttpError {
    /// Nobody answers there.
    #[error("cannot connect to {server}: see whether the server runs and the URL is right")]
    Connect {
        /// The server.
        server: String,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The server's certificate is not trusted, or TLS failed otherwise.
    #[error(
        "no trusted connection to {server}: give the certificates that the server's goes back to"
    )]
    Tls {
        /// The server.
        server: String,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// No answer in time.
    #[error("{server} did not answer within {} s", super::TIMEOUT.as_secs())]
    Timeout {
        /// The server.
        server: String,
    },
    /// The connection broke before the answer was whole.
    #[error("the connection to {server} broke off")]
    Broken {
        /// The server.
        server: String,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// 401: it wants a token, and none was sent.
    #[error("{server} wants a token: give the agent one")]
    NoToken {
        /// The server.
        server: String,
    },
    /// 401: it does not know the token.
    #[error(
        "{server} does not accept the agent's token: give agent and server the same one{detail}"
    )]
    Token {
        /// The server.
        server: String,
        /// The server's own words.
        detail: Detail,
    },
    /// 403: the token may not do this.
    #[error("{server} does not let this agent report for this node{detail}")]
    Forbidden {
        /// The server.
        server: String,
        /// The server's own words.
        detail: Detail,
    },
    /// 409: another agent reports as this node.
    #[error(
        "another agent reports to {server} as this node: end one of them, or give them different names{detail}"
    )]
    Conflict {
        /// The server.
        server: String,
        /// The server's own words.
        detail: Detail,
    },
    /// 413: the report is larger than it takes.
    #[error(
        "the report is larger than {server} accepts: its limit is below {} KiB{detail}",
        super::MAX_BODY / 1024
    )]
    TooLarge {
        /// The server.
        server: String,
        /// The server's own words.
        detail: Detail,
    },
    /// 429, or 503 with a time: it has too much to do.
    #[error("{server} has too much to do now{detail}")]
    Busy {
        /// The server.
        server: String,
        /// When to come back, where it said so.
        retry_after: Option<Duration>,
        /// The server's own words.
        detail: Detail,
    },
    /// 3xx: redirects are not followed, as the token is for this server alone.
    #[error(
        "{server} answers {status} and sends elsewhere: give the URL at which the server itself answers"
    )]
    Redirected {
        /// The server.
        server: String,
        /// The status.
        status: u16,
    },
    /// Another 4xx: it does not understand.
    #[error(
        "{server} refuses with {status}: see whether it is a pulltrace server of a version near this agent's{detail}"
    )]
    Refused {
        /// The server.
        server: String,
        /// The status.
        status: u16,
        /// The server's own words.
        detail: Detail,
    },
    /// 5xx: it failed.
    #[error("{server} failed with {status}: see its log{detail}")]
    Failed {
        /// The server.
        server: String,
        /// The status.
        status: u16,
        /// When to come back, where it said so.
        retry_after: Option<Duration>,
        /// The server's own words.
        detail: Detail,
    },
    /// It answered something that no pulltrace server says.
    #[error("what answers at {server} is no pulltrace server: {what}")]
    NotOurs {
        /// The server.
        server: String,
        /// What it did.
        what: &'static str,
    },
}

impl HttpError {
    /// Whether the same may succeed later without anybody doing something.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        match self {
            Self::Connect { .. }
            | Self::Timeout { .. }
            | Self::Broken { .. }
            | Self::Busy { .. }
            | Self::Failed { .. } => true,
            Self::Tls { .. }
            | Self::NoToken { .. }
            | Self::Token { .. }
            | Self::Forbidden { .. }
            | Self::Conflict { .. }
            | Self::TooLarge { .. }
            | Self::Redirected { .. }
            | Self::Refused { .. }
            | Self::NotOurs { .. } => false,
        }
    }

    /// How long the server wants to be left alone.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Busy { retry_after, .. } | Self::Failed { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// No answer came.
    pub(super) fn unsent(server: &str, error: &reqwest::Error) -> Self {
        let server = server.to_owned();
        let mut root: &(dyn std::error::Error + 'static) = error;
        let mut tls = false;
        loop {
            tls |= root.is::<rustls::Error>();
            // An I/O error hides what it wraps.
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
            Self::Broken { server, source }
        }
    }

    /// The server answered that it did not take the report.
    pub(super) fn refused(
        server: &str,
        status: StatusCode,
        retry_after: Option<Duration>,
        detail: Detail,
        with_token: bool,
    ) -> Self {
        let server = server.to_owned();
        match status.as_u16() {
            401 if !with_token => Self::NoToken { server },
            401 => Self::Token { server, detail },
            403 => Self::Forbidden { server, detail },
            409 => Self::Conflict { server, detail },
            413 => Self::TooLarge { server, detail },
            429 => Self::Busy {
                server,
                retry_after,
                detail,
            },
            503 if retry_after.is_some() => Self::Busy {
                server,
                retry_after,
                detail,
            },
            status @ 300..=399 => Self::Redirected { server, status },
            status @ 400..=499 => Self::Refused {
                server,
                status,
                detail,
            },
            status => Self::Failed {
                server,
                status,
                retry_after,
                detail,
            },
        }
    }
}

/// What a server said of an error, as far as it can be shown: at most 200 characters, in one line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Detail(String);

impl Detail {
    const LONGEST: usize = 200;

    /// Nothing where the text has the secret in it.
    pub(super) fn of(text: &str, secret: Option<&str>) -> Self {
        if secret.is_some_and(|secret| text.contains(secret)) {
            return Self::default();
        }
        let line = text.split(char::is_whitespace).filter(|w| !w.is_empty());
        let line = line.collect::<Vec<_>>().join(" ");
        Self(
            line.chars()
                .filter(|c| !c.is_control())
                .take(Self::LONGEST)
                .collect(),
        )
    }

    /// The text; empty where the server said nothing.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// In brackets, after a space.
impl std::fmt::Display for Detail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.is_empty() {
            return Ok(());
        }
        write!(f, " (it says: {})", self.0)
    }
}
