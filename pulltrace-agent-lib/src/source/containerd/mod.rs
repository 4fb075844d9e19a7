//! The collector that watches a containerd socket.

#[allow(dead_code)]
mod client;
#[allow(dead_code)]
pub mod discover;
pub mod image;
pub mod input;
#[allow(dead_code)]
mod interval;
pub mod recording;
pub use client::{Cause, ClientError};
