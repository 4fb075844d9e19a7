//! Errors of the intake.

use crate::fleet::ApplyError;

/// A report that was not applied.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IntakeError {
    /// Too many reports are waiting. A retry helps.
    #[error("too many reports are waiting")]
    Busy,
    /// The server is stopping. A retry helps after its restart.
    #[error("the server is stopping")]
    Stopped,
    /// The fleet rejected the report.
    #[error(transparent)]
    Rejected(#[from] ApplyError),
}

impl IntakeError {
    /// Returns advice for the user.
    #[must_use]
    pub const fn help(&self) -> Option<&'static str> {
        match self {
            Self::Busy => Some("Retry in a moment."),
            Self::Stopped => None,
            Self::Rejected(error) => error.help(),
        }
    }
}
