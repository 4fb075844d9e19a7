//! The fleet and its table over a network that loses, duplicates and reorders reports.

mod agent;
mod bounds;
mod network;
mod reader;
