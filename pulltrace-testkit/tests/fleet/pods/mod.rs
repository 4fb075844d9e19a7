//! Pulls as people of a cluster see them: with the pods that wait for them. A real API server, a real containerd,
//! the agent and the server as they are deployed; the test plays the kubelet, in the kubelet's words and with the
//! texts that this containerd gave.

mod cluster;
mod failures;
pub(crate) mod kit;
mod odd;
mod pulls;
mod restarts;
mod stream;

use kit::PodScenario;

/// What depends on who pulls.
pub(crate) const ALL: &[&[PodScenario]] = &[pulls::ALL, failures::ALL, restarts::ALL];

/// What does not.
pub(crate) const ONCE: &[&[PodScenario]] = &[cluster::ALL, odd::ALL];
