//! JSON serialisation of wire types.

use serde::Serialize;

/// Serialises a wire type.
pub(crate) fn to_string(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("wire types have string keys and infallible fields")
}
