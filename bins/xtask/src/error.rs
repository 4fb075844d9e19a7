//! How a task ends when it does not end well.

use std::process::ExitCode;

pub(crate) type Result<T> = std::result::Result<T, Error>;

#[derive(Debug)]
pub(crate) enum Error {
    /// The command line makes no sense: exit code 2.
    Usage(String),
    /// The task was tried and failed: exit code 1.
    Failed(String),
    /// A program that the task handed over to failed and has said why itself.
    Exit(u8),
}

impl Error {
    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Error::Usage(text) | Error::Failed(text) => Some(text),
            Error::Exit(_) => None,
        }
    }

    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            Error::Usage(_) => ExitCode::from(2),
            Error::Failed(_) => ExitCode::FAILURE,
            Error::Exit(code) => ExitCode::from(*code),
        }
    }
}

/// Names the operation and the thing in front of an I/O error.
pub(crate) trait Context<T> {
    fn context(self, what: impl FnOnce() -> String) -> Result<T>;
}

impl<T> Context<T> for std::io::Result<T> {
    fn context(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|error| Error::Failed(format!("{}: {error}", what())))
    }
}
