//! A violation of a rule, with its place.

use std::fmt;

/// A violation of a rule.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    /// A path in the repository, or the name of a package.
    pub(super) at: String,
    /// Counted from 1; `None` for a whole file or package.
    pub(super) line: Option<usize>,
    pub(super) what: String,
}

impl Finding {
    pub(super) fn new(at: &str, line: Option<usize>, what: impl Into<String>) -> Finding {
        Finding { at: at.to_owned(), line, what: what.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}: {}", self.at, self.what),
            None => write!(f, "{}: {}", self.at, self.what),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finding_starts_with_path_and_line() {
        assert_eq!(Finding::new("a/b.rs", Some(3), "x").to_string(), "a/b.rs:3: x");
        assert_eq!(Finding::new("tokio", None, "x").to_string(), "tokio: x");
    }
}
