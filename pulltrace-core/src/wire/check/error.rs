//! The reasons for rejecting a report.

use crate::id::{NameError, NodeName, PullId};

/// An invalid report, which is rejected as a whole. A retry does not help.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// The body is not the JSON of a report. Contains the parser's message, truncated.
    #[error("invalid report: {0}")]
    Malformed(String),
    /// The version is not supported by this server.
    #[error("unsupported schemaVersion `{0}`: expected v1")]
    UnsupportedVersion(String),
    /// A list has too many items, or a text too many bytes.
    #[error("{what} is too long: {found} exceeds the limit of {most}")]
    TooMany {
        /// The field.
        what: &'static str,
        /// The actual number of items or bytes.
        found: usize,
        /// The maximum.
        most: usize,
    },
    /// A malformed name, digest or reference.
    #[error("invalid {what}")]
    InvalidName {
        /// The field.
        what: &'static str,
        /// The cause.
        #[source]
        source: NameError,
    },
    /// A number is negative, not finite, or greater than 2^63 - 1.
    #[error("invalid {what}: expected 0 to 2^63 - 1")]
    InvalidNumber {
        /// The field.
        what: &'static str,
    },
    /// An unknown enum value.
    #[error("unknown value of {what}")]
    UnknownVariant {
        /// The field.
        what: &'static str,
    },
    /// A pull does not belong to the report's node.
    #[error("pull {id} does not belong to node {node}")]
    WrongNode {
        /// The pull.
        id: PullId,
        /// The node of the report.
        node: NodeName,
    },
    /// Two pulls with the same id, two images with the same root, or two layers of an image with
    /// the same digest.
    #[error("duplicate {0}")]
    Duplicate(String),
    /// Values that contradict each other.
    #[error("inconsistent pull {id}: {what}")]
    Inconsistent {
        /// The pull.
        id: PullId,
        /// The contradiction.
        what: &'static str,
    },
}

impl ReportError {
    /// Truncates the parser's message, which may repeat untrusted input.
    pub(super) fn malformed(error: &serde_json::Error) -> Self {
        Self::Malformed(error.to_string().chars().take(200).collect())
    }
}
