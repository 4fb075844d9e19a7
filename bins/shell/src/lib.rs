//! What the programs share: how they read flags and variables, log, stop, and say what went wrong.
//!
//! | file | the question |
//! |---|---|
//! | [`args`] | what was asked for, and how is a bad value refused? |
//! | [`value`] | what does this text of a flag mean? |
//! | [`node`] | which node is watched, and how much is kept of it? |
//! | [`log`] | what is logged, and how? |
//! | [`stop`] | who says that it is time to end? |
//! | [`error`] | how is an error told? |
//! | [`markdown`] | how do the flags get into the documentation? |

#![forbid(unsafe_code)]

pub mod args;
pub mod error;
pub mod log;
pub mod markdown;
pub mod node;
pub mod stop;
pub mod value;

/// Version and revision, for `--version`: `0.1.0 (0123456789ab)`.
pub const VERSION: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    " (",
    env!("PULLTRACE_REVISION"),
    ")"
);

/// The revision alone, for the label of a metric: `0123456789ab`.
pub const REVISION: &str = env!("PULLTRACE_REVISION");
