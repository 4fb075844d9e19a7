//! Why a report is refused.

use crate::id::{NameError, NodeName, PullId};

/// A report that cannot be true, and is refused whole. A retry with the same report does not help.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// It is no JSON, or has other types than a report; what the parser says, cut.
    #[error("the body is no report: {0}")]
    Malformed(String),
    /// It is of a version that this server does not know.
    #[error("schemaVersion is `{0}`: this server knows v1")]
    Version(String),
    /// A list has too many items, or a text too many bytes.
    #[error("{what} has {found}: at most {most} are accepted")]
    TooMany {
        /// Which.
        what: &'static str,
        /// How many there are.
        found: usize,
        /// How many may be.
        most: usize,
    },
    /// A text is not the name, digest or reference that it should be.
    #[error("{what} is not accepted")]
    Name {
        /// Which.
        what: &'static str,
        /// Why.
        #[source]
        source: NameError,
    },
    /// A number is negative, not finite, or greater than 2^63 - 1.
    #[error("{what} is not accepted: 0 to 2^63 - 1 is")]
    Number {
        /// Which.
        what: &'static str,
    },
    /// A word is not of the set.
    #[error("{what} is a word that this server does not know")]
    Word {
        /// Which.
        what: &'static str,
    },
    /// A pull is of another node than the report.
    #[error("pull {id} is not of node {node}")]
    OtherNode {
        /// The pull.
        id: PullId,
        /// The report's node.
        node: NodeName,
    },
    /// Two pulls have one id, two images one root, or two layers of an image one digest.
    #[error("{0} is there twice")]
    Twice(String),
    /// Two statements contradict each other.
    #[error("pull {id} contradicts itself: {what}")]
    Contradiction {
        /// The pull.
        id: PullId,
        /// How.
        what: &'static str,
    },
}

impl ReportError {
    /// The parser's words may repeat what it was given, which may come from anywhere.
    pub(super) fn malformed(error: &serde_json::Error) -> Self {
        Self::Malformed(error.to_string().chars().take(200).collect())
    }
}
