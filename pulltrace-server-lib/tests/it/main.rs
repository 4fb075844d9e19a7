//! The fleet and its table over a network that loses, doubles and reorders what agents say.

mod agent;
mod bounds;
mod network;
mod reader;
