//! Names that many objects have in common, kept once.

use std::collections::HashMap;
use std::str::FromStr;
use std::sync::Arc;

/// How many are kept; more than a cluster has nodes. At the limit all are forgotten, and kept anew.
const MOST: usize = 16_384;

/// Checked names by their text.
#[derive(Debug)]
pub(super) struct Intern<T>(HashMap<Box<str>, T>);

/// What is made of a text.
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

by_parsing!(
    pulltrace_core::NodeName,
    pulltrace_core::KubeName,
    pulltrace_core::Slot
);

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
        if self.0.len() == MOST {
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
    fn a_name_is_kept_once_and_what_is_none_is_not() {
        let mut names = Intern::<NodeName>::default();
        let (a, b) = (names.get("n-1").unwrap(), names.get("n-1").unwrap());
        assert!(std::ptr::eq(a.as_str(), b.as_str()));
        assert!(names.get("no name").is_err());
        assert_eq!(names.0.len(), 1);
    }

    #[test]
    fn names_without_end_are_forgotten() {
        let mut names = Intern::<NodeName>::default();
        for number in 0..=MOST {
            assert_eq!(
                names.get(&number.to_string()).unwrap().as_str(),
                number.to_string()
            );
        }
        assert_eq!(names.0.len(), 1);
    }
}
