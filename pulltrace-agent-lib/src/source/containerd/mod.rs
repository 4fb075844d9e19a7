//! The containerd source: watches the image pulls of a containerd.
//!
//! A pull is a lease. The [`tracker`] derives from the resources of the leases which image is
//! pulled and how far the pull is, without I/O. This module adds the rest: socket discovery,
//! read-only calls, polling and events, and recordings of the tracker's inputs that can be
//! replayed.

mod call;
mod client;
mod connection;
mod daemon;
pub mod discover;
mod event_queue;
mod feed;
pub mod image;
pub mod input;
mod interval;
mod query_queue;
mod reconnect;
pub mod recording;
pub mod replay;
mod stats;
mod task;
pub mod tracker;
mod version;

use std::fmt;
use std::io::Write;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pulltrace_core::{Namespace, NodeName, NodeTime};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

pub use self::call::Call;
use self::call::OnCall;
use self::client::Client;
pub use self::client::{Cause, ClientError};
use self::daemon::{Connect, Connected, Daemon};
use self::discover::DiscoverError;
use self::feed::Feed;
use self::input::{Event, Poll, Query, Reply};
use self::recording::Recorder;
pub use self::replay::Replay;
pub use self::stats::SourceStats;
use self::tracker::Tracker;
use super::{Batch, PullSource, SourceError};
use crate::clock::Clock;

/// The containerd namespace used by the kubelet.
pub const KUBERNETES_NAMESPACE: &str = "k8s.io";

/// The maximum number of batches waiting to be received. When it is reached, the source waits and
/// polls less often.
const BATCH_CAPACITY: usize = 16;

/// A source that watches the image pulls of a containerd.
///
/// A background task watches containerd from [`Builder::start`] until this value is dropped. If
/// containerd is unavailable, the source reports that once and keeps trying to connect.
#[derive(Debug)]
pub struct Containerd {
    batches: mpsc::Receiver<Batch>,
    stats: Arc<Mutex<SourceStats>>,
    /// Aborts the task when dropped.
    _task: JoinSet<()>,
}

/// Builds a [`Containerd`] source; created by [`Containerd::builder`].
pub struct Builder {
    node: NodeName,
    namespace: Namespace,
    socket: Option<PathBuf>,
    inactivity_timeout: Duration,
    record: Option<Box<dyn Write + Send>>,
    on_call: OnCall,
}

impl Containerd {
    /// Returns a builder for this node, with namespace [`KUBERNETES_NAMESPACE`] and an
    /// automatically discovered socket.
    ///
    /// # Panics
    /// Never: the default namespace is valid.
    #[must_use]
    pub fn builder(node: NodeName) -> Builder {
        Builder {
            node,
            namespace: KUBERNETES_NAMESPACE.parse().expect("valid namespace"),
            socket: None,
            inactivity_timeout: tracker::INACTIVITY_TIMEOUT,
            record: None,
            on_call: OnCall::default(),
        }
    }

    /// Returns the current counters.
    #[must_use]
    pub fn stats(&self) -> SourceStats {
        snapshot(&self.stats)
    }

    /// Returns a function that reads the counters, for use after the source has been moved.
    pub fn stats_reader(&self) -> impl Fn() -> SourceStats + Send + Sync + 'static {
        let stats = Arc::clone(&self.stats);
        move || snapshot(&stats)
    }

    fn spawn<C: Connect>(
        connect: C,
        clock: Clock,
        tracker: Tracker,
        recorder: Option<Recorder<Box<dyn Write + Send>>>,
    ) -> Self {
        let (out, batches) = mpsc::channel(BATCH_CAPACITY);
        let stats = Arc::new(Mutex::new(SourceStats::default()));
        let feed = Feed::new(clock, tracker, recorder, out, Arc::clone(&stats));
        let mut tasks = JoinSet::new();
        tasks.spawn(task::run(connect, feed));
        Self { batches, stats, _task: tasks }
    }
}

fn snapshot(stats: &Mutex<SourceStats>) -> SourceStats {
    stats.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

impl PullSource for Containerd {
    async fn next(&mut self) -> Result<Option<Batch>, SourceError> {
        match self.batches.recv().await {
            Some(batch) => Ok(Some(batch)),
            // The task stops by itself only when the receiver is dropped.
            None => Err(SourceError::Stopped),
        }
    }
}

impl Builder {
    /// Uses the containerd at this socket only.
    #[must_use]
    pub fn socket(self, path: impl Into<PathBuf>) -> Self {
        Self { socket: Some(path.into()), ..self }
    }

    /// Watches this namespace instead of [`KUBERNETES_NAMESPACE`].
    #[must_use]
    pub fn namespace(self, namespace: Namespace) -> Self {
        Self { namespace, ..self }
    }

    /// Sets the time without activity after which a pull counts as dead. Default:
    /// [`tracker::INACTIVITY_TIMEOUT`].
    #[must_use]
    pub fn inactivity_timeout(self, silence: Duration) -> Self {
        Self { inactivity_timeout: silence, ..self }
    }

    /// Writes the tracker's inputs to a [`recording`].
    ///
    /// The writer is flushed after each line. It is called from the background task, so a slow
    /// writer delays polling. If it fails, or the recording reaches [`recording::DEFAULT_LIMIT`],
    /// the recording stops, [`SourceStats::recording_error`] gives the reason, and the source
    /// continues.
    #[must_use]
    pub fn record_to(self, to: impl Write + Send + 'static) -> Self {
        Self { record: Some(Box::new(to)), ..self }
    }

    /// Sets a callback for each finished call to containerd. It is called from the background task
    /// and must not block.
    #[must_use]
    pub fn on_call(self, callback: impl Fn(&Call) + Send + Sync + 'static) -> Self {
        Self { on_call: OnCall::new(callback), ..self }
    }

    /// Starts the source.
    ///
    /// # Panics
    /// Panics outside of a tokio runtime with time and I/O enabled.
    #[must_use]
    pub fn start(self) -> Containerd {
        let tracker = Tracker::new(self.node.clone(), self.namespace.clone())
            .with_inactivity_timeout(self.inactivity_timeout);
        let (node, namespace) = (self.node, self.namespace.clone());
        let recorder = self.record.map(|out| Recorder::new(out, node, namespace));
        let connect =
            SocketConnector { path: self.socket, namespace: self.namespace, on_call: self.on_call };
        Containerd::spawn(connect, Clock::system(), tracker, recorder)
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("node", &self.node)
            .field("namespace", &self.namespace)
            .field("socket", &self.socket)
            .field("silence", &self.inactivity_timeout)
            .field("record", &self.record.is_some())
            .finish()
    }
}

/// Connects to a real containerd.
struct SocketConnector {
    path: Option<PathBuf>,
    namespace: Namespace,
    on_call: OnCall,
}

impl Connect for SocketConnector {
    type Daemon = Client;

    async fn connect(&mut self) -> Result<Connected<Client>, DiscoverError> {
        let found = discover::find(self.path.as_deref(), &self.namespace, &self.on_call).await?;
        Ok(Connected {
            daemon: found.client,
            server: found.server,
            address: found.path.display().to_string(),
            has_namespace: found.has_namespace,
        })
    }
}

impl Daemon for Client {
    fn started_at(&self) -> Option<NodeTime> {
        Client::started_at(self)
    }

    fn take_skipped(&self) -> u64 {
        Client::take_skipped(self)
    }

    async fn poll(&self, idle: bool) -> Result<Poll, ClientError> {
        Client::poll(self, idle, tracker::is_pull_lease).await
    }

    async fn run_query(&self, query: &Query) -> Result<Reply, ClientError> {
        Client::run_query(self, query).await
    }

    async fn events(&self, on_event: impl FnMut(Event) + Send) -> ClientError {
        Client::events(self, on_event).await
    }
}

/// Returns the containerd methods that this crate calls, as service and method: `Leases/List`.
/// There are twelve.
pub fn methods() -> impl Iterator<Item = &'static str> {
    client::Method::ALL.into_iter().map(client::Method::name)
}
