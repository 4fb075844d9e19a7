//! A missing prerequisite, and the search for programs.

/// A missing prerequisite and how to provide it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} is missing: {remedy}")]
pub struct Missing {
    /// The missing prerequisite.
    pub what: String,
    /// The command or action that provides it.
    pub remedy: String,
}

impl Missing {
    /// Creates the error for the prerequisite `what`, which `remedy` provides.
    #[must_use]
    pub fn new(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { what: what.into(), remedy: remedy.into() }
    }
}

/// Searches `PATH` for a program.
pub(crate) fn on_path(name: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(name)).find(|file| file.is_file())
}
