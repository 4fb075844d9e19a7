//! Failures of the demo, and its messages.

use std::io::Write as _;
use std::process::ExitCode;

use pulltrace_core::error::error_chain;

/// A failure of the demo.
#[derive(Debug)]
pub(crate) enum DemoError {
    /// Exit code 1.
    Failed(String),
    /// The program that shows the pulls has printed the reason.
    AlreadyReported(u8),
}

impl DemoError {
    pub(crate) fn from_error(error: &dyn std::error::Error) -> Self {
        Self::Failed(error_chain(error))
    }

    /// Prints the error unless that was already done, and returns the exit code.
    pub(crate) fn report(&self) -> ExitCode {
        match self {
            Self::Failed(text) => {
                log(text);
                ExitCode::FAILURE
            }
            Self::AlreadyReported(code) => ExitCode::from(*code),
        }
    }
}

impl From<std::io::Error> for DemoError {
    fn from(error: std::io::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

/// Prints a message to standard error; standard output may be parsed by a program.
pub(crate) fn log(text: &str) {
    // Cleanup must continue even if stderr is closed.
    let _ignored = writeln!(std::io::stderr(), "demo: {text}");
}
