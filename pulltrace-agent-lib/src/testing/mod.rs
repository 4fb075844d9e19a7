//! Test doubles for users of this crate, and the conformance suite for sources.

pub mod conformance;
mod failing;

pub use failing::{FailingSink, SinkHandle};

pub use crate::source::{Script, ScriptError, ScriptedSource};
