//! What the task needs of a containerd: real ones and those of tests are used alike.

use pulltrace_core::NodeTime;

use super::client::ClientError;
use super::discover::DiscoverError;
use super::input::{Event, Poll, Query, Reply, Server};

/// How to come to a containerd that answers.
pub(super) trait Connect: Send + 'static {
    type Daemon: Daemon;

    fn connect(
        &mut self,
    ) -> impl Future<Output = Result<Connected<Self::Daemon>, DiscoverError>> + Send;
}

/// A containerd that answers.
pub(super) struct Connected<D> {
    pub(super) daemon: D,
    pub(super) server: Server,
    /// Where it answers, for people.
    pub(super) at: String,
    /// Whether it has the namespace that is watched.
    pub(super) has_namespace: bool,
}

/// What is asked of containerd: all of it reads.
pub(super) trait Daemon: Send + Sync + 'static {
    /// When it bound the socket that is there now.
    fn started_at(&self) -> Option<NodeTime>;

    /// How many things it sent that could not be used, since the last call.
    fn left_out(&self) -> u64;

    /// Lists what there is; where nothing is expected (`idle`), only as much as shows whether there is anything.
    fn poll(&self, idle: bool) -> impl Future<Output = Result<Poll, ClientError>> + Send;

    fn answer(&self, query: &Query) -> impl Future<Output = Result<Reply, ClientError>> + Send;

    /// Hands over each event until the stream breaks.
    fn events(&self, tell: impl FnMut(Event) + Send) -> impl Future<Output = ClientError> + Send;
}
