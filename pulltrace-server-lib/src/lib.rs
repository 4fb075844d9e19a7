#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod clock;
pub mod fleet;
mod limits;
pub mod table;
pub mod writer;

pub use clock::{Clock, ServerNow};
pub use limits::Limits;
