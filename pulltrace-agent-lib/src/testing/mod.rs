//! For tests of whoever embeds this crate: fakes with a handle, and what every source must keep.

pub mod conformance;
mod failing;

pub use failing::{FailingSink, SinkHandle};

pub use crate::source::{Script, ScriptError, ScriptedSource};
