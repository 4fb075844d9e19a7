//! The errors of tasks, and their exit codes.

use std::process::ExitCode;

pub(crate) type Result<T> = std::result::Result<T, Error>;

#[derive(Debug)]
pub(crate) enum Error {
    /// A program that the task needs is not installed: exit code 1.
    Missing(String),
    /// The task failed: exit code 1.
    Failed(String),
    /// The task failed and has already printed why.
    Exit(u8),
}

impl Error {
    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Error::Missing(text) | Error::Failed(text) => Some(text),
            Error::Exit(_) => None,
        }
    }

    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            Error::Missing(_) | Error::Failed(_) => ExitCode::FAILURE,
            Error::Exit(code) => ExitCode::from(*code),
        }
    }
}

/// Prefixes an I/O error with the operation that failed.
pub(crate) trait Context<T> {
    fn context(self, operation: impl FnOnce() -> String) -> Result<T>;
}

impl<T> Context<T> for std::io::Result<T> {
    fn context(self, operation: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|error| Error::Failed(format!("failed to {}: {error}", operation())))
    }
}
