//! The rules of the contract of sources, and how a check fails.

use std::fmt;

/// A rule of the contract of sources.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Rule {
    /// Existing objects and changes are reported, and deleted objects are not reported as existing.
    Accuracy,
    /// `Init`, existing objects, `InitDone`, changes.
    Order,
    /// All existing objects were sent before the first `InitDone`.
    InitialList,
    /// Dropping the future of `next` loses no update.
    CancelSafe,
    /// A failure is reported once, and its end by `InitDone`.
    Outage,
    /// The source never ends or fails.
    NeverEnds,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Accuracy => "updates match the objects of the cluster",
            Self::Order => "`Init`, existing objects, `InitDone`, changes",
            Self::InitialList => "all existing objects are sent before the first `InitDone`",
            Self::CancelSafe => "dropping `next` loses no update",
            Self::Outage => "a failure is reported once, and its end by `InitDone`",
            Self::NeverEnds => "the source never ends or fails",
        })
    }
}

/// The source broke a rule, or the rig failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Violation {
    /// The source broke a rule.
    #[error("{during}: the source broke the rule \"{rule}\": {what}")]
    Broken {
        /// The broken rule.
        rule: Rule,
        /// The step of the suite.
        during: &'static str,
        /// Description of the violation.
        what: String,
    },
    /// The rig failed; the source was not judged.
    #[error("{during}: the rig failed")]
    Rig {
        /// The step of the suite.
        during: &'static str,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl Violation {
    /// The broken rule, or `None` if the rig failed.
    #[must_use]
    pub const fn rule(&self) -> Option<Rule> {
        match self {
            Self::Broken { rule, .. } => Some(*rule),
            Self::Rig { .. } => None,
        }
    }
}
