//! What users of the crate see, through its public interface alone, under paused time.

mod channel;
mod collector;
mod common;
mod conformance;
#[cfg(feature = "containerd")]
mod replay;
