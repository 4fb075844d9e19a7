//! What is said of pulls beyond this process: JSON types apart from the model, which is not
//! serialisable itself.
//!
//! | file | what lives there |
//! |---|---|
//! | [`v1`] | the types of version 1, as they are on the wire |
//! | `convert`, `report` | from the model to what people read, and to what agents report |
//! | [`check`] | from a report to the model: the edge where agents are not trusted |

pub mod check;
mod convert;
mod report;
pub mod time;
pub mod v1;
