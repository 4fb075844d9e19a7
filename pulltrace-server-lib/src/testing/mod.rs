//! For tests of whoever has sources of pods and events of their own: what every source must keep.

pub mod conformance;
