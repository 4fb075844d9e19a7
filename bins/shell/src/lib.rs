//! Code shared by the programs: flags and variables, logging, signals, errors.
//!
//! | module | contents |
//! |---|---|
//! | [`args`] | parsing the command line and reporting invalid values |
//! | [`value`] | parsers for flag values |
//! | [`node`] | flags of programs that watch a node |
//! | [`log`] | log flags and initialization |
//! | [`shutdown`] | termination signals |
//! | [`error`] | printing errors |
//! | [`markdown`] | generating the flag reference |
//! | [`transcript`] | golden files of error messages, for tests |

#![forbid(unsafe_code)]

pub mod args;
pub mod error;
pub mod log;
pub mod markdown;
pub mod node;
pub mod shutdown;
pub mod transcript;
pub mod value;

/// Version and revision, as shown by `--version`: `0.1.0 (0123456789ab)`.
pub const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("PULLTRACE_REVISION"), ")");

/// The revision alone, for a metric label: `0123456789ab`.
pub const REVISION: &str = env!("PULLTRACE_REVISION");
