//! Serialises instants as RFC 3339 text, for `#[serde(with = "pulltrace_core::wire::time")]`.

use std::fmt;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serializer};

use crate::time::NodeTime;

/// Serialises an instant.
///
/// # Errors
/// If the serialiser fails.
pub fn serialize<S: Serializer>(time: &NodeTime, s: S) -> Result<S::Ok, S::Error> {
    s.collect_str(time)
}

/// Deserialises an instant.
///
/// # Errors
/// If the text is not a valid RFC 3339 instant.
pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<NodeTime, D::Error> {
    d.deserialize_str(TimeVisitor)
}

/// Parses the text without copying it, as a report contains many instants.
struct TimeVisitor;

impl Visitor<'_> for TimeVisitor {
    type Value = NodeTime;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an RFC 3339 timestamp")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<NodeTime, E> {
        text.parse().map_err(E::custom)
    }
}

/// The same for optional instants.
pub mod option {
    use super::{Deserialize, Deserializer, NodeTime, Serializer};

    /// Serialises an instant, or null.
    ///
    /// # Errors
    /// If the serialiser fails.
    pub fn serialize<S: Serializer>(time: &Option<NodeTime>, s: S) -> Result<S::Ok, S::Error> {
        match time {
            Some(time) => s.collect_str(time),
            None => s.serialize_none(),
        }
    }

    /// Deserialises an instant, or null.
    ///
    /// # Errors
    /// If the text is not a valid RFC 3339 instant.
    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Option<NodeTime>, D::Error> {
        #[derive(Deserialize)]
        struct Rfc3339(#[serde(with = "super")] NodeTime);

        let time = Option::<Rfc3339>::deserialize(d)?;
        Ok(time.map(|Rfc3339(at)| at))
    }
}
