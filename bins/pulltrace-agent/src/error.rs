//! Errors of the agent, printed as one line, and advice.

use std::io;
use std::process::ExitCode;

use pulltrace_agent_lib::metrics::{ListenError, MetricsError};
use pulltrace_agent_lib::sink::http::{HttpSetupError, TokenError};
use pulltrace_agent_lib::{RunError, SettingsError};
use pulltrace_core::NameError;

/// An error that ends the agent. The exit code is 1, or 2 for a usage error.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("missing server URL")]
    NoServer,
    #[error("host name is not a valid node name")]
    NodeName(#[source] NameError),
    #[error("--report-interval")]
    Setting(#[source] SettingsError),
    #[error("failed to set up reporting")]
    Setup(#[source] HttpSetupError),
    #[error("--metrics-addr")]
    Listen(#[source] ListenError),
    #[error("failed to create metrics")]
    Metrics(#[source] MetricsError),
    #[error("failed to run the collector")]
    Run(#[source] RunError),
    #[error("failed to start the runtime")]
    Runtime(#[source] io::Error),
    #[error("shutdown timed out before the last state was delivered")]
    ShutdownTimeout,
    #[error("failed to write to standard output")]
    Output(#[source] io::Error),
}

impl Error {
    /// Returns advice for the user.
    pub(crate) const fn help(&self) -> Option<&'static str> {
        match self {
            Self::NoServer => {
                Some("Set PULLTRACE_SERVER_URL or --server-url, e.g. http://pulltrace-server:8080.")
            }
            Self::NodeName(_) => Some("Set PULLTRACE_NODE_NAME or --node-name."),
            Self::Setup(error) => error.help(),
            _ => None,
        }
    }

    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            Self::NoServer
            | Self::NodeName(_)
            | Self::Setting(_)
            | Self::Setup(HttpSetupError::Url(_) | HttpSetupError::Token(TokenError::Invalid)) => {
                ExitCode::from(2)
            }
            _ => ExitCode::FAILURE,
        }
    }
}
