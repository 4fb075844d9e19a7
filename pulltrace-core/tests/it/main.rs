//! Integration tests of the model.

mod activity;
mod bounds;
mod failures;
mod generated;
mod golden;
mod interleavings;
mod kubelet;
