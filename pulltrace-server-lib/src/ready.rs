//! Whether the server can do its work, as named conditions with reasons.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

/// The conditions of a server; clones share them.
#[derive(Clone, Debug, Default)]
pub struct Ready {
    conditions: Arc<RwLock<BTreeMap<&'static str, Condition>>>,
}

/// One condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// Whether it holds.
    pub holds: bool,
    /// Whether the server is unready while it does not.
    pub required: bool,
    /// Why it holds or does not, for people.
    pub reason: String,
}

impl Ready {
    /// Says how a condition is; the server is unready while it does not hold.
    pub fn require(&self, name: &'static str, holds: bool, reason: impl Into<String>) {
        self.set(name, holds, true, reason.into());
    }

    /// Says how a condition is without which the server still does its work.
    pub fn note(&self, name: &'static str, holds: bool, reason: impl Into<String>) {
        self.set(name, holds, false, reason.into());
    }

    /// Whether each required condition holds, and there is one.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        let conditions = self.conditions();
        let mut required = conditions.values().filter(|one| one.required).peekable();
        required.peek().is_some() && required.all(|one| one.holds)
    }

    /// All conditions, by their names.
    #[must_use]
    pub fn conditions(&self) -> BTreeMap<&'static str, Condition> {
        self.conditions
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn set(&self, name: &'static str, holds: bool, required: bool, reason: String) {
        let condition = Condition {
            holds,
            required,
            reason,
        };
        self.conditions
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(name, condition);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_ready_when_all_that_is_required_holds() {
        let ready = Ready::default();
        assert!(!ready.is_ready(), "nothing is known yet");
        ready.require("writer", true, "it runs");
        assert!(ready.is_ready());
        ready.note("kubernetes", false, "no cluster");
        assert!(ready.is_ready());
        ready.require("stopping", false, "told to stop");
        assert!(!ready.is_ready());
        assert_eq!(ready.conditions().len(), 3);
    }
}
