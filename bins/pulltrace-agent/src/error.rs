//! What can go wrong, as one line: what happened, where, and what to do.

use std::io;
use std::process::ExitCode;

use pulltrace_agent_lib::metrics::{ListenError, MetricsError};
use pulltrace_agent_lib::sink::http::{HttpSetupError, TokenError};
use pulltrace_agent_lib::{BuildError, RunError};
use pulltrace_core::NameError;

/// Why the agent ended before its time. Exit code 1, and 2 where the call was wrong.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(
        "PULLTRACE_SERVER_URL is not set, nor is --server-url given: accepted is a URL like http://pulltrace-server:8080"
    )]
    NoServer,
    #[error("the host name cannot name a node: set PULLTRACE_NODE_NAME, or give --node-name")]
    NodeName(#[source] NameError),
    #[error("--report-interval")]
    Setting(#[source] BuildError),
    #[error("cannot report")]
    Setup(#[source] HttpSetupError),
    #[error("--metrics-addr")]
    Listen(#[source] ListenError),
    #[error("cannot count")]
    Metrics(#[source] MetricsError),
    #[error("cannot go on")]
    Run(#[source] RunError),
    #[error("the system does not give what a program needs to run")]
    Runtime(#[source] io::Error),
    #[error("stopped before the last state was delivered")]
    Overdue,
    #[error("cannot write to standard output")]
    Output(#[source] io::Error),
}

impl Error {
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            Self::NoServer
            | Self::NodeName(_)
            | Self::Setting(_)
            | Self::Setup(HttpSetupError::Url(_) | HttpSetupError::Token(TokenError::Characters)) => {
                ExitCode::from(2)
            }
            _ => ExitCode::FAILURE,
        }
    }
}
