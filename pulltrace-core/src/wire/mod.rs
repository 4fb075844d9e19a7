//! The JSON types, separate from the model, which is not serialisable itself.
//!
//! | module | contents |
//! |---|---|
//! | [`v1`] | the JSON types of version 1 |
//! | [`v0`] | reports of agents of version 0.1, which are accepted too |
//! | `scalar` | the JSON of values that are the same in the model and on the wire |
//! | `convert`, `report` | from the model to API responses and to agent reports |
//! | `read` | from API responses to the model, for programs that display it |
//! | [`check`] | from agent reports to the model; agents are not trusted |

pub mod check;
mod convert;
#[cfg(test)]
mod fixtures;
#[cfg(feature = "openapi")]
pub mod openapi;
mod read;
mod report;
mod scalar;
#[cfg(feature = "ts")]
pub mod typescript;
pub mod v0;
pub mod v1;

pub use read::StatusError;
