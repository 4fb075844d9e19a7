//! Instants as RFC 3339 text, for `#[serde(with = "pulltrace_core::wire::time")]`.

use serde::de::Error as _;
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
    String::deserialize(d)?.parse().map_err(D::Error::custom)
}

/// The same for instants that may be unknown.
pub mod option {
    use super::{Deserialize, Deserializer, NodeTime, Serializer};
    use serde::de::Error as _;

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
        let text = Option::<String>::deserialize(d)?;
        text.map(|text| text.parse().map_err(D::Error::custom))
            .transpose()
    }
}
