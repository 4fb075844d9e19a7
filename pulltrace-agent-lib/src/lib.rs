//! What a node sees of its image pulls.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

pub mod source;
