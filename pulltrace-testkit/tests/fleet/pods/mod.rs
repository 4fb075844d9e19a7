//! Pulls with their pods, on a real API server and a real containerd, with agent and server as
//! deployed. The test plays the kubelet, with the kubelet's texts and this containerd's error
//! messages.

mod cluster;
mod failures;
pub(crate) mod kit;
mod malformed;
mod pulls;
mod restarts;
mod stream;

use kit::PodScenario;

/// Scenarios that depend on the version of containerd.
pub(crate) const ALL: &[&[PodScenario]] = &[pulls::ALL, failures::ALL, restarts::ALL];

/// Scenarios that don't.
pub(crate) const ONCE: &[&[PodScenario]] = &[cluster::ALL, malformed::ALL];
