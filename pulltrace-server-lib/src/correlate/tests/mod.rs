//! Scenarios of pods and pulls, and the state that readers see.

mod failures;
mod joins;
mod order;
mod queues;
mod recorded;
mod world;
