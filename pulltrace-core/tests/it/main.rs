//! What holds of the model as a whole.

mod bounds;
mod interleavings;
mod motion;
