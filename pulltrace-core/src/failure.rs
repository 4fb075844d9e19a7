//! Why a pull ended without its image.
//!
//! The reasons that a node's runtime can tell apart are here; those that only the kubelet's words
//! tell come from classifying its text.

use std::fmt;

/// Why a pull failed: one word of a closed set, and what was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The word.
    pub reason: FailureReason,
    /// What is known beyond the word, for people.
    pub message: Option<String>,
}

/// The reasons. Their words are the wire's and the metrics' labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum FailureReason {
    /// The runtime was started anew while it pulled.
    RuntimeRestarted,
    /// The pull is over, the image is not there, and the runtime does not say why: a failure of the
    /// registry, of the disk or of the network, or a caller that gave up.
    Unexplained,
    /// A reason that this version does not know: a newer agent told it.
    Other,
}

impl FailureReason {
    /// The word: `unexplained`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RuntimeRestarted => "runtime_restarted",
            Self::Unexplained => "unexplained",
            Self::Other => "other",
        }
    }

    /// The reason of this word; [`Other`](Self::Other) where there is none.
    #[must_use]
    pub fn of(word: &str) -> Self {
        [Self::RuntimeRestarted, Self::Unexplained]
            .into_iter()
            .find(|reason| reason.as_str() == word)
            .unwrap_or(Self::Other)
    }
}

impl fmt::Display for FailureReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
