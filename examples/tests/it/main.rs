//! Runs each example as a person would, and reads what it prints.

mod programs;
mod real;
mod server;
