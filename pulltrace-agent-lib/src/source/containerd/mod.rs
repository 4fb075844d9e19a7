//! The collector that watches a containerd socket.

pub mod input;
