//! Counters of the HTTP server and, with feature `metrics`, Prometheus metrics.

mod counters;
#[cfg(feature = "metrics")]
mod families;
#[cfg(feature = "metrics")]
mod observe;

pub(crate) use counters::{HttpCounters, RejectReason};
#[cfg(feature = "metrics")]
pub use families::{Metrics, MetricsError};
