//! Runs each example like a user, and checks its output.

mod programs;
mod real;
mod server;
