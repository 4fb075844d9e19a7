//! Where observations come from.

#[cfg(feature = "containerd")]
pub mod containerd;
