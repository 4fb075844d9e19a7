//! The time between two connections: the back-off, and the log lines about outages.

use std::time::Duration;

use pulltrace_core::backoff::Backoff;
use tracing::{info, warn};

use super::daemon::ConnectionLost;
use super::input::ServerInfo;
use super::version::Version;

/// Back-off after the first failure; doubles with each further one.
pub(super) const INITIAL_BACKOFF: Duration = Duration::from_millis(250);

/// The longest back-off.
const MAX_BACKOFF: Duration = Duration::from_secs(5);

pub(super) struct Reconnect {
    backoff: Backoff,
    /// Reason of the current outage, as last logged.
    outage: Option<String>,
}

impl Reconnect {
    pub(super) const fn new() -> Self {
        Self { backoff: retry_backoff(), outage: None }
    }

    /// Ends the outage.
    pub(super) fn on_connected(&mut self, server: &ServerInfo, address: &str, has_namespace: bool) {
        self.backoff.reset();
        self.outage = None;
        let version = &server.version;
        info!(socket = address, version, "connected to containerd");
        if !Version::parse(version).is_supported() {
            warn!(
                version,
                "unsupported containerd version (supported: 1.6 to 2.x); results may be wrong"
            );
        }
        if !has_namespace {
            warn!("the containerd namespace does not exist yet; it is created by the first pull");
        }
    }

    /// Logs an outage, and logs it again only if the reason changes. Returns whether the tracker
    /// does not know of it yet.
    pub(super) fn on_lost(&mut self, loss: &ConnectionLost) -> bool {
        if self.outage.as_ref() == Some(&loss.reason) {
            return false;
        }
        if loss.was_connected {
            warn!("connection to containerd lost: {}", loss.reason);
        } else {
            warn!(help = loss.help, "containerd not available yet; retrying: {}", loss.reason);
        }
        let already_reported = self.outage.replace(loss.reason.clone()).is_some();
        loss.was_connected || !already_reported
    }

    /// Returns the time to wait before the next connection.
    pub(super) fn next_delay(&mut self, is_permanent: bool) -> Duration {
        let delay = self.backoff.next_delay(1.0);
        if is_permanent { MAX_BACKOFF } else { delay }
    }
}

/// The back-off of connections and event streams. It is not random: each daemon has one client.
pub(super) const fn retry_backoff() -> Backoff {
    Backoff::new(INITIAL_BACKOFF, MAX_BACKOFF)
}
