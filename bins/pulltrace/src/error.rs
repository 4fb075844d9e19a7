//! Errors of the commands, printed as one line, and advice.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use pulltrace_agent_lib::sink::http::HttpSetupError;
use pulltrace_agent_lib::source::SourceError;
use pulltrace_agent_lib::source::containerd::recording::RecordingError;
use pulltrace_agent_lib::{RunError, SettingsError};
use pulltrace_client::SetupError;
use pulltrace_core::NameError;
use pulltrace_server_lib::{ListenError, OpenListenerError, ServerError, TokenError};

/// An error that ends a command. The exit code is 1, or 2 for a usage error.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("`--output live` requires a terminal")]
    NoTerminal,
    #[error("host name is not a valid node name")]
    NodeName(#[source] NameError),
    #[error("--report-interval")]
    ReportInterval(#[source] SettingsError),
    #[error("file `{}` already exists", path.display())]
    Exists { path: PathBuf },
    #[error("failed to create recording `{}`", path.display())]
    Create {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("failed to open `{}`", path.display())]
    Open {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("failed to replay `{}`", path.display())]
    Recording {
        path: PathBuf,
        #[source]
        source: RecordingError,
    },
    #[error("failed to replay all of `{}`", path.display())]
    Replay {
        path: PathBuf,
        #[source]
        source: SourceError,
    },
    #[error("failed to set up the client")]
    Client(#[source] SetupError),
    #[error("failed to generate the token of this process")]
    Randomness(#[source] getrandom::Error),
    #[error(transparent)]
    OpenListener(#[from] OpenListenerError),
    #[error(transparent)]
    Token(#[from] TokenError),
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error(transparent)]
    Server(#[from] ServerError),
    #[error("failed to set up reporting")]
    Sink(#[from] HttpSetupError),
    /// The server rejected the request, or is not a pulltrace server.
    #[error(transparent)]
    Refused(Box<dyn std::error::Error + Send + Sync>),
    #[error("failed to write to standard output")]
    Output(#[source] io::Error),
    #[error("failed to run the collector")]
    Run(#[source] RunError),
    #[error("failed to start the runtime")]
    Runtime(#[source] io::Error),
    #[error("shutdown timed out: the output is not being read")]
    ShutdownTimeout,
    #[error("internal error")]
    Panicked,
}

impl Error {
    /// Returns advice for the user.
    pub(crate) fn help(&self) -> Option<&'static str> {
        match self {
            Self::NoTerminal => Some("Use --output plain or --output json."),
            Self::NodeName(_) => Some("Set --node-name or PULLTRACE_NODE_NAME."),
            Self::Exists { .. } => Some("Use --force to overwrite it."),
            Self::Panicked => Some("Report the error with the lines above."),
            Self::Recording { source, .. } => source.help(),
            Self::Client(error) => error.help(),
            Self::OpenListener(error) => error.help(),
            Self::Sink(error) => error.help(),
            _ => None,
        }
    }

    pub(crate) fn is_broken_pipe(&self) -> bool {
        match self {
            Self::Output(error) => error.kind() == io::ErrorKind::BrokenPipe,
            Self::Run(error) => matches!(error, RunError::SinkClosed { .. }),
            _ => false,
        }
    }

    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            Self::NoTerminal
            | Self::NodeName(_)
            | Self::ReportInterval(_)
            | Self::Exists { .. }
            | Self::OpenListener(_) => ExitCode::from(2),
            _ => ExitCode::FAILURE,
        }
    }
}
