//! What is said of pulls beyond this process: JSON types apart from the model, which is not
//! serialisable itself.
//!
//! | file | what lives there |
//! |---|---|
//! | [`v1`] | the types of version 1, as they are on the wire |
//! | [`v0`] | what agents of version 0.1 report, which is taken too |
//! | `words` | the words of the model and those of the wire, both ways |
//! | `convert`, `report` | from the model to what people read, and to what agents report |
//! | `read` | from what people read back to the model, for programs that show it |
//! | [`check`] | from a report to the model: the edge where agents are not trusted |

pub mod check;
mod convert;
#[cfg(test)]
mod fixtures;
#[cfg(feature = "openapi")]
pub mod openapi;
mod read;
mod report;
pub mod time;
#[cfg(feature = "ts")]
pub mod typescript;
pub mod v0;
pub mod v1;
mod words;

pub use read::StatusError;
pub use words::UnknownWord;
