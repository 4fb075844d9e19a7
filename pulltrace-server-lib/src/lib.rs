#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![deny(missing_docs)]

#[cfg(feature = "http")]
mod access;
pub mod change;
mod clock;
pub mod cluster;
pub mod correlate;
#[cfg(test)]
mod fixture;
pub mod fleet;
#[cfg(feature = "http")]
mod http;
mod json;
mod limits;
#[cfg(feature = "http")]
mod metrics;
#[cfg(feature = "http")]
mod ready;
#[cfg(feature = "http")]
mod serve;
#[cfg(feature = "http")]
mod server;
#[cfg(feature = "http")]
mod sources;
pub mod table;
#[cfg(feature = "testing")]
pub mod testing;
#[cfg(feature = "http")]
mod throughput;
#[cfg(feature = "ui")]
mod ui;
pub mod writer;

// One path for each type: that of its public module, or the root if its module is private.
#[cfg(feature = "http")]
pub use access::{Access, OpenListenerError, TokenError};
#[cfg(feature = "http")]
pub use http::{
    ClusterName, ClusterNameError, FrameAncestors, FrameAncestorsError, HttpLimits,
    openapi_document,
};
#[cfg(feature = "metrics")]
pub use metrics::{Metrics, MetricsError};
#[cfg(feature = "http")]
pub use ready::{Condition, Readiness};
#[cfg(feature = "http")]
pub use serve::{ListenError, Listener, ServeLimits, Tls, TlsError};
#[cfg(feature = "http")]
pub use server::{Server, ServerBuilder, ServerError};

pub use clock::{Clock, ServerNow};
pub use limits::Limits;
