//! Errors of sources.

use std::error::Error;

/// The end of a source because of a failure. The source must not be used again.
///
/// An outage is not an error: while a source retries by itself, it sends `Failing` updates.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// A failure that may be temporary: a new source may work.
    #[error("the source failed")]
    Transient(#[source] Box<dyn Error + Send + Sync>),
    /// A permanent failure. A retry does not help.
    #[error("the source failed permanently")]
    Permanent(#[source] Box<dyn Error + Send + Sync>),
    /// The background task of the source stopped, which is a bug. A retry does not help.
    #[error("the background task of the source stopped")]
    Stopped,
}

impl SourceError {
    /// Returns whether a new source may work.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        match self {
            Self::Transient(_) => true,
            Self::Permanent(_) | Self::Stopped => false,
        }
    }
}
