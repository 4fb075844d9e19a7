//! Instants as RFC 3339 text, for `#[serde(with = "pulltrace_core::wire::time")]`.

use std::fmt;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serializer};

use crate::time::NodeTime;

/// Writes an instant.
///
/// # Errors
/// Those of the serializer.
pub fn serialize<S: Serializer>(time: &NodeTime, s: S) -> Result<S::Ok, S::Error> {
    s.collect_str(time)
}

/// Reads an instant.
///
/// # Errors
/// Where the text is no RFC 3339 instant.
pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<NodeTime, D::Error> {
    d.deserialize_str(Reader)
}

/// Reads the text where it lies: a report has many instants.
struct Reader;

impl Visitor<'_> for Reader {
    type Value = NodeTime;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an RFC 3339 instant")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<NodeTime, E> {
        text.parse().map_err(E::custom)
    }
}

/// The same for instants that may be unknown.
pub mod option {
    use super::{Deserialize, Deserializer, NodeTime, Serializer};

    /// Writes an instant, or null.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(time: &Option<NodeTime>, s: S) -> Result<S::Ok, S::Error> {
        match time {
            Some(time) => s.collect_str(time),
            None => s.serialize_none(),
        }
    }

    /// Reads an instant, or null.
    ///
    /// # Errors
    /// Where the text is no RFC 3339 instant.
    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Option<NodeTime>, D::Error> {
        #[derive(Deserialize)]
        struct Told(#[serde(with = "super")] NodeTime);

        let told = Option::<Told>::deserialize(d)?;
        Ok(told.map(|Told(at)| at))
    }
}
