//! Prometheus metrics and a health endpoint over HTTP.
//!
//! OpenTelemetry and hyper types are used in this module only.

mod families;
mod serve;

pub use families::{Metrics, MetricsError};
pub use serve::{Endpoint, ListenError};
