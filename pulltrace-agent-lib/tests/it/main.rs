//! Tests of the public interface, mostly in paused time.

mod channel;
mod collector;
mod common;
mod conformance;
#[cfg(feature = "http")]
mod http;
#[cfg(feature = "metrics")]
mod metrics;
#[cfg(feature = "containerd")]
mod replay;
#[cfg(feature = "http")]
mod server;
