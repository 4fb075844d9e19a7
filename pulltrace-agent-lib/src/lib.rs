#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod clock;
mod collector;
mod log;
#[cfg(feature = "metrics")]
pub mod metrics;
mod monitor;
pub mod sink;
pub mod source;
#[cfg(feature = "testing")]
pub mod testing;

pub use clock::Clock;
pub use collector::{Collector, RunError, Settings, SettingsError, Summary};
pub use monitor::{CollectorStats, HealthError, Monitor};
