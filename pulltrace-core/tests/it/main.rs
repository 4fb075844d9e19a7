//! What holds of the model as a whole.

mod bounds;
mod failures;
mod generated;
mod golden;
mod interleavings;
mod kubelet;
mod motion;
