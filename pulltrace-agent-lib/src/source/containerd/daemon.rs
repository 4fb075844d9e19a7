//! The interface to containerd, implemented by the real client and by test doubles.

use pulltrace_core::NodeTime;

use super::client::ClientError;
use super::discover::DiscoverError;
use super::input::{Event, Poll, Query, Reply, ServerInfo};

/// Establishes connections to containerd.
pub(super) trait Connect: Send + 'static {
    type Daemon: Daemon;

    fn connect(
        &mut self,
    ) -> impl Future<Output = Result<Connected<Self::Daemon>, DiscoverError>> + Send;
}

/// A connection to containerd.
pub(super) struct Connected<D> {
    pub(super) daemon: D,
    pub(super) server: ServerInfo,
    /// The address, for log messages.
    pub(super) address: String,
    /// True if the watched namespace exists.
    pub(super) has_namespace: bool,
}

/// The reason why a connection ended.
pub(super) struct ConnectionLost {
    pub(super) reason: String,
    /// Advice for the user.
    pub(super) help: Option<&'static str>,
    /// True if a poll had succeeded, so that the tracker knows of the connection.
    pub(super) was_connected: bool,
    /// True if an immediate retry is pointless.
    pub(super) permanent: bool,
}

impl ConnectionLost {
    /// An end after which an immediate retry may succeed.
    pub(super) const fn new(reason: String, was_connected: bool) -> Self {
        Self { reason, help: None, was_connected, permanent: false }
    }
}

/// The read-only operations on containerd.
pub(super) trait Daemon: Send + Sync + 'static {
    /// When the current socket was bound.
    fn started_at(&self) -> Option<NodeTime>;

    /// Returns the number of invalid or excess items since the last call.
    fn take_skipped(&self) -> u64;

    /// Lists ingests and leases. If `idle`, skips the ingests unless a lease may be a pull.
    fn poll(&self, idle: bool) -> impl Future<Output = Result<Poll, ClientError>> + Send;

    fn run_query(&self, query: &Query) -> impl Future<Output = Result<Reply, ClientError>> + Send;

    /// Passes each event to the callback until the stream breaks.
    fn events(
        &self,
        on_event: impl FnMut(Event) + Send,
    ) -> impl Future<Output = ClientError> + Send;
}
