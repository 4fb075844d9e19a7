//! Readiness of the server, as named conditions with reasons.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

/// The readiness conditions of a server. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Readiness {
    conditions: Arc<RwLock<BTreeMap<&'static str, Condition>>>,
}

/// A readiness condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// True if the condition holds.
    pub holds: bool,
    /// True if the server is unready while the condition does not hold.
    pub required: bool,
    /// The reason for the current state, for people.
    pub reason: String,
}

impl Readiness {
    /// Sets a required condition: the server is unready while it does not hold.
    pub fn set_required(&self, name: &'static str, holds: bool, reason: impl Into<String>) {
        self.set(name, holds, true, reason.into());
    }

    /// Sets an informational condition, which does not affect readiness.
    pub fn set_optional(&self, name: &'static str, holds: bool, reason: impl Into<String>) {
        self.set(name, holds, false, reason.into());
    }

    /// Returns whether there are required conditions and all of them hold.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        let conditions = self.conditions();
        let mut required = conditions.values().filter(|one| one.required).peekable();
        required.peek().is_some() && required.all(|one| one.holds)
    }

    /// All conditions by name.
    #[must_use]
    pub fn conditions(&self) -> BTreeMap<&'static str, Condition> {
        self.conditions.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, name: &'static str, holds: bool, required: bool, reason: String) {
        let condition = Condition { holds, required, reason };
        self.conditions.write().unwrap_or_else(PoisonError::into_inner).insert(name, condition);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_only_when_all_required_conditions_hold() {
        let ready = Readiness::default();
        assert!(!ready.is_ready(), "nothing is known yet");
        ready.set_required("writer", true, "it runs");
        assert!(ready.is_ready());
        ready.set_optional("kubernetes", false, "no cluster");
        assert!(ready.is_ready());
        ready.set_required("stopping", false, "told to stop");
        assert!(!ready.is_ready());
        assert_eq!(ready.conditions().len(), 3);
    }
}
