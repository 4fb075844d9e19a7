//! The collector that watches a containerd socket.

#[allow(dead_code)]
mod client;
pub mod image;
pub mod input;
pub use client::{Cause, ClientError};
