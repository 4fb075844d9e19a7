//! The JSON types, separate from the model, which is not serialisable itself. Only instants are
//! the same in both: this module defines their JSON, RFC 3339 text.
//!
//! | module | contents |
//! |---|---|
//! | [`v1`] | the JSON types of version 1 |
//! | [`v0`] | reports of agents of version 0.1, which are accepted too |
//! | `enums` | conversions between the enums of the model and of the wire |
//! | `convert`, `report` | from the model to API responses and to agent reports |
//! | `read` | from API responses to the model, for programs that display it |
//! | [`check`] | from agent reports to the model; agents are not trusted |

pub mod check;
mod convert;
mod enums;
#[cfg(test)]
mod fixtures;
#[cfg(feature = "openapi")]
pub mod openapi;
mod read;
mod report;
mod time;
#[cfg(feature = "ts")]
pub mod typescript;
pub mod v0;
pub mod v1;

pub use enums::UnknownVariant;
pub use read::StatusError;
