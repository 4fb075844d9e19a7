//! Tests of the test kit itself, which other tests rely on.

mod containerd;
mod http;
mod image;
mod registry;
