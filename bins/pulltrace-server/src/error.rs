//! Errors of the server, printed as one line, and advice.

use std::io;
use std::process::ExitCode;

use pulltrace_server_lib::cluster::kube::ConnectError;
use pulltrace_server_lib::{ListenError, OpenListenerError, ServerError, TlsError, TokenError};

/// An error that ends the server. The exit code is 1, or 2 for a usage error.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Open(#[from] OpenListenerError),
    #[error(transparent)]
    Token(#[from] TokenError),
    #[error("--tls-cert-file and --tls-key-file must be used together")]
    IncompleteTls,
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error(transparent)]
    Cluster(#[from] ConnectError),
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error(transparent)]
    Setup(#[from] ServerError),
    #[error("failed to start the runtime")]
    Runtime(#[source] io::Error),
    #[error("shutdown timed out with open connections")]
    ShutdownTimeout,
}

impl Error {
    /// Returns advice for the user.
    pub(crate) fn help(&self) -> Option<&'static str> {
        match self {
            Self::Open(error) => error.help(),
            Self::Cluster(error) => error.help(),
            _ => None,
        }
    }

    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            // A failing exec plug-in may work on the next start, so this is not a usage error.
            Self::Cluster(ConnectError::Client(_)) => ExitCode::FAILURE,
            Self::Open(_)
            | Self::IncompleteTls
            | Self::Token(TokenError::Value)
            | Self::Cluster(_) => ExitCode::from(2),
            _ => ExitCode::FAILURE,
        }
    }
}
