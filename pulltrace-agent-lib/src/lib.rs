#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod clock;
pub mod sink;
pub mod source;

pub use clock::Clock;
