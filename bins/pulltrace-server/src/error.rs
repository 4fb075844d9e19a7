//! What can go wrong, as one line: what happened, where, and what to do.

use std::io;
use std::process::ExitCode;

use pulltrace_server_lib::cluster::kube::ConnectError;
use pulltrace_server_lib::{ListenError, OpenListener, ServerError, TlsError, TokenError};

/// Why the server ended before its time. Exit code 1, and 2 where the call was wrong.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Open(#[from] OpenListener),
    #[error(transparent)]
    Token(#[from] TokenError),
    #[error("--tls-cert-file and --tls-key-file need each other: give both, or neither")]
    HalfTls,
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error(transparent)]
    Cluster(#[from] ConnectError),
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error(transparent)]
    Setup(#[from] ServerError),
    #[error("the system does not give what a program needs to run")]
    Runtime(#[source] io::Error),
    #[error("stopped before all connections had ended")]
    Overdue,
}

impl Error {
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            // That of an exec plug-in may be gone the next time.
            Self::Cluster(ConnectError::Client(_)) => ExitCode::FAILURE,
            Self::Open(_) | Self::HalfTls | Self::Token(TokenError::Value) | Self::Cluster(_) => {
                ExitCode::from(2)
            }
            _ => ExitCode::FAILURE,
        }
    }
}
