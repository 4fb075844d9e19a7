//! Test support for custom sources of pods and events.

pub mod conformance;
