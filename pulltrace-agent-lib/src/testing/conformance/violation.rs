//! The rules of the suite, and their violations.

use std::fmt;

/// A rule of the [`PullSource`](crate::source::PullSource) contract. Its `Display` text states the requirement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Rule {
    /// Events in the runtime are observed.
    Observed,
    /// Batches are ordered by their time.
    Order,
    /// Dropping `next` loses nothing.
    CancelSafe,
    /// A pull ends only with correct evidence.
    Evidence,
    /// An end with known outcome is final.
    EndIsFinal,
    /// An outage is reported and ends no pull.
    Outage,
    /// Batches are partial until all running pulls are listed.
    InitialSync,
    /// A pull keeps its id.
    StableIds,
    /// Observations do not contradict each other.
    Consistent,
    /// The source neither ends nor fails.
    StaysAlive,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Observed => "events in the runtime are observed",
            Self::Order => "batches are ordered by their time",
            Self::CancelSafe => "`next` is cancel-safe",
            Self::Evidence => "a pull ends only with correct evidence",
            Self::EndIsFinal => "an end with known outcome is final",
            Self::Outage => "an outage is reported and ends no pull",
            Self::InitialSync => "batches are partial until all running pulls are listed",
            Self::StableIds => "a pull keeps its id",
            Self::Consistent => "observations do not contradict each other",
            Self::StaysAlive => "the source neither ends nor fails",
        })
    }
}

/// A violated rule, or a failure of the test runtime.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Violation {
    /// The source violated a rule.
    #[error("{during}: the source violated the rule \"{rule}\": {what}")]
    Broken {
        /// The rule.
        rule: Rule,
        /// The scenario.
        during: &'static str,
        /// The unexpected observation.
        what: String,
    },
    /// The test runtime failed, so the source could not be tested.
    #[error("{during}: the test runtime failed")]
    Runtime {
        /// The scenario.
        during: &'static str,
        /// The error of the runtime.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl Violation {
    /// Returns the violated rule; `None` if the test runtime failed.
    #[must_use]
    pub const fn rule(&self) -> Option<Rule> {
        match self {
            Self::Broken { rule, .. } => Some(*rule),
            Self::Runtime { .. } => None,
        }
    }
}
