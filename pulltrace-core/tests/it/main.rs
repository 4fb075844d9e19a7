//! What holds of the model as a whole.

mod bounds;
mod generated;
mod golden;
mod interleavings;
mod motion;
