//! Scenarios of pods and pulls, and the state that readers see.

pub(super) mod facts;
mod failures;
mod joins;
mod order;
mod queues;
mod recorded;
pub(super) mod world;
