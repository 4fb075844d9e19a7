//! What Prometheus reads of an agent, and whether it is well, over HTTP. The only place with the types of
//! OpenTelemetry and of an HTTP server.

mod families;
mod serve;

pub use families::{Metrics, MetricsError};
pub use serve::{Endpoint, ListenError};
