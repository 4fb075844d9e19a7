//! What users would see of pods and pulls, scenario by scenario.

mod failures;
mod joins;
mod order;
mod queues;
mod recorded;
mod world;
