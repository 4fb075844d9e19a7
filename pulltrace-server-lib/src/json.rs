//! The one place that writes JSON of what is on the wire.

use serde::Serialize;

/// A value of the wire as JSON.
pub(crate) fn text(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("wire types have text keys and no failing parts")
}
