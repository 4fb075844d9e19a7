//! Interning of names that many objects share.

use std::collections::HashMap;
use std::str::FromStr;
use std::sync::Arc;

/// Maximum number of interned names, more than a cluster has nodes. At the limit the map is
/// cleared.
const MAX_NAMES: usize = 16_384;

/// Parsed names by their text.
#[derive(Debug)]
pub(super) struct Intern<T>(HashMap<Box<str>, T>);

/// A type that can be interned.
pub(super) trait Name: Clone + Sized {
    type Err;

    fn of(text: &str) -> Result<Self, Self::Err>;
}

macro_rules! by_parsing {
    ($($name:ty),*) => {$(
        impl Name for $name {
            type Err = <$name as FromStr>::Err;

            fn of(text: &str) -> Result<Self, Self::Err> {
                text.parse()
            }
        }
    )*};
}

by_parsing!(pulltrace_core::NodeName, pulltrace_core::KubeName, pulltrace_core::ImageConsumer);

impl Name for Arc<str> {
    type Err = pulltrace_core::NameError;

    fn of(text: &str) -> Result<Self, Self::Err> {
        Ok(text.into())
    }
}

impl<T> Default for Intern<T> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<T: Name> Intern<T> {
    pub(super) fn get(&mut self, text: &str) -> Result<T, T::Err> {
        if let Some(known) = self.0.get(text) {
            return Ok(known.clone());
        }
        let name = T::of(text)?;
        if self.0.len() == MAX_NAMES {
            self.0.clear();
        }
        self.0.insert(text.into(), name.clone());
        Ok(name)
    }
}

#[cfg(test)]
mod tests {
    use pulltrace_core::NodeName;

    use super::*;

    #[test]
    fn valid_names_are_shared_and_invalid_ones_rejected() {
        let mut names = Intern::<NodeName>::default();
        let (a, b) = (names.get("n-1").unwrap(), names.get("n-1").unwrap());
        assert!(std::ptr::eq(a.as_str(), b.as_str()));
        assert!(names.get("no name").is_err());
        assert_eq!(names.0.len(), 1);
    }

    #[test]
    fn intern_is_cleared_at_capacity() {
        let mut names = Intern::<NodeName>::default();
        for number in 0..=MAX_NAMES {
            assert_eq!(names.get(&number.to_string()).unwrap().as_str(), number.to_string());
        }
        assert_eq!(names.0.len(), 1);
    }
}
