//! The kit's own tests: what it promises must hold before anything is judged by it.

mod containerd;
mod http;
mod image;
mod registry;
