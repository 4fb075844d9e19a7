//! What can go wrong, as one line: what happened, where, and what to do.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use pulltrace_agent_lib::sink::http::HttpSetupError;
use pulltrace_agent_lib::source::SourceError;
use pulltrace_agent_lib::source::containerd::recording::RecordingError;
use pulltrace_agent_lib::{BuildError, RunError};
use pulltrace_client::SetupError;
use pulltrace_core::NameError;
use pulltrace_server_lib::{ListenError, OpenListener, ServerError, TokenError};

/// Why a command ended before its time. Exit code 1, and 2 where the call was wrong.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("--output live needs a terminal, and standard output is none: use plain or json")]
    NoTerminal,
    #[error("the host name cannot name a node: give it a name with --node-name")]
    NodeName(#[source] NameError),
    #[error("--report-interval")]
    Setting(#[source] BuildError),
    #[error("there is a file `{}` already: choose another name, or overwrite it with --force", path.display())]
    Exists { path: PathBuf },
    #[error("cannot write the recording to `{}`", path.display())]
    Create {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot read `{}`", path.display())]
    Open {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot replay `{}`", path.display())]
    Recording {
        path: PathBuf,
        #[source]
        source: RecordingError,
    },
    #[error("cannot replay `{}` to its end", path.display())]
    Replay {
        path: PathBuf,
        #[source]
        source: SourceError,
    },
    #[error("cannot ask the server")]
    Client(#[source] SetupError),
    #[error(transparent)]
    OpenToAll(#[from] OpenListener),
    #[error(transparent)]
    Token(#[from] TokenError),
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error(transparent)]
    Server(#[from] ServerError),
    #[error("the agent cannot report")]
    Sink(#[from] HttpSetupError),
    /// What a server refused, or is none.
    #[error(transparent)]
    Refused(Box<dyn std::error::Error + Send + Sync>),
    #[error("cannot write to standard output")]
    Output(#[source] io::Error),
    #[error("cannot go on")]
    Run(#[source] RunError),
    #[error("the system does not give what a program needs to run")]
    Runtime(#[source] io::Error),
    #[error("stopped while output waited for somebody to read it")]
    Overdue,
    #[error("a bug: see the lines above, and please report it")]
    Panicked,
}

impl Error {
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
            | Self::Setting(_)
            | Self::Exists { .. }
            | Self::OpenToAll(_) => ExitCode::from(2),
            _ => ExitCode::FAILURE,
        }
    }
}
