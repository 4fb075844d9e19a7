//! The collector that watches the image pulls of a containerd.
//!
//! A pull is a lease: the [`tracker`] finds out from what leases hold what is being pulled, and how far it is,
//! without any I/O. Everything around it is here: finding the socket, calls that only ever read, polls and
//! events, and recordings that replay what the tracker was told.

mod call;
mod client;
mod daemon;
pub mod discover;
pub mod image;
pub mod input;
mod interval;
mod mailbox;
mod questions;
pub mod recording;
pub mod replay;
mod task;
pub mod tracker;

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
use self::input::{Event, Poll, Query, Reply};
use self::recording::Recorder;
pub use self::replay::Replay;
use self::task::Task;
use self::tracker::Tracker;
use super::{Batch, PullSource, SourceError};
use crate::clock::Clock;

/// The namespace of all that the kubelet pulls.
pub const KUBERNETES: &str = "k8s.io";

/// The most batches that wait to be taken. At the limit the source waits, and polls less often.
const BATCHES: usize = 16;

/// The image pulls of a containerd, as they happen.
///
/// A task of its own watches containerd, from [`Builder::start`] until this is dropped. A containerd that is
/// away, or not there yet, is no error: the source says so once, and goes on looking for it.
#[derive(Debug)]
pub struct Containerd {
    batches: mpsc::Receiver<Batch>,
    stats: Arc<Mutex<Stats>>,
    /// Ends when this is dropped.
    _task: JoinSet<()>,
}

/// What a [`Containerd`] has counted since it started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// How often containerd was there: for the first time, or again.
    pub connections: u64,
    /// Rounds of listing that succeeded.
    pub polls: u64,
    /// Rounds of listing that failed.
    pub failed_polls: u64,
    /// Events that the tracker was told of.
    pub events: u64,
    /// Times that events may be missing: the stream broke, or events came faster than they were taken.
    pub gaps: u64,
    /// Events that were dropped since they came faster than they were taken.
    pub dropped_events: u64,
    /// Questions that were put to containerd.
    pub queries: u64,
    /// Those of them that failed. That something is not there is not a failure.
    pub failed_queries: u64,
    /// Questions that were not put to containerd, since too many waited.
    pub refused_queries: u64,
    /// What containerd sent in lists and cannot be used, or is beyond their limits.
    pub left_out: u64,
    /// Inputs in the recording.
    pub recorded_inputs: u64,
    /// Bytes of the recording.
    pub recorded_bytes: u64,
    /// Why the recording stopped before its time; `None` while it goes on, or where there is none.
    pub recording_stopped: Option<String>,
}

/// How to watch; made by [`Containerd::builder`].
pub struct Builder {
    node: NodeName,
    namespace: Namespace,
    socket: Option<PathBuf>,
    silence: Duration,
    record: Option<Box<dyn Write + Send>>,
    on_call: OnCall,
}

impl Containerd {
    /// A source for the pulls of this node, in the namespace [`KUBERNETES`] of the containerd that is found.
    ///
    /// # Panics
    /// Never: the name of that namespace is one.
    #[must_use]
    pub fn builder(node: NodeName) -> Builder {
        Builder {
            node,
            namespace: KUBERNETES.parse().expect("it is the name of a namespace"),
            socket: None,
            silence: tracker::SILENCE,
            record: None,
            on_call: OnCall::default(),
        }
    }

    /// What was counted until now.
    #[must_use]
    pub fn stats(&self) -> Stats {
        read(&self.stats)
    }

    /// The same for whoever gives the source away: it counts on, and this says what.
    pub fn stats_reader(&self) -> impl Fn() -> Stats + Send + Sync + 'static {
        let stats = Arc::clone(&self.stats);
        move || read(&stats)
    }

    fn spawn<C: Connect>(
        connect: C,
        clock: Clock,
        tracker: Tracker,
        recorder: Option<Recorder<Box<dyn Write + Send>>>,
    ) -> Self {
        let (out, batches) = mpsc::channel(BATCHES);
        let stats = Arc::new(Mutex::new(Stats::default()));
        let task = Task::new(connect, clock, tracker, recorder, out, Arc::clone(&stats));
        let mut tasks = JoinSet::new();
        tasks.spawn(task.run());
        Self {
            batches,
            stats,
            _task: tasks,
        }
    }
}

fn read(stats: &Mutex<Stats>) -> Stats {
    stats.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

impl PullSource for Containerd {
    async fn next(&mut self) -> Result<Option<Batch>, SourceError> {
        match self.batches.recv().await {
            Some(batch) => Ok(Some(batch)),
            // It only stops by itself where nobody takes its batches.
            None => Err(SourceError::Stopped),
        }
    }
}

impl Builder {
    /// Watches the containerd behind this socket, and looks nowhere else.
    #[must_use]
    pub fn socket(self, path: impl Into<PathBuf>) -> Self {
        Self {
            socket: Some(path.into()),
            ..self
        }
    }

    /// Watches this containerd namespace instead of [`KUBERNETES`].
    #[must_use]
    pub fn namespace(self, namespace: Namespace) -> Self {
        Self { namespace, ..self }
    }

    /// Takes a pull that has not moved for so long for dead. Default [`tracker::SILENCE`].
    #[must_use]
    pub fn silence(self, silence: Duration) -> Self {
        Self { silence, ..self }
    }

    /// Writes down what the tracker is told, as a [`recording`].
    ///
    /// The writer is flushed after each line, and is called from the task: one that blocks for long holds up
    /// the watching. Where it fails, or the recording reaches [`recording::DEFAULT_LIMIT`], the recording
    /// stops, [`Stats::recording_stopped`] says why, and the watching goes on.
    #[must_use]
    pub fn record(self, to: impl Write + Send + 'static) -> Self {
        Self {
            record: Some(Box::new(to)),
            ..self
        }
    }

    /// Tells of each call to containerd when it is over. Called from the task, so it must not block.
    #[must_use]
    pub fn on_call(self, tell: impl Fn(&Call) + Send + Sync + 'static) -> Self {
        Self {
            on_call: OnCall::new(tell),
            ..self
        }
    }

    /// Begins to watch.
    ///
    /// # Panics
    /// Outside of a tokio runtime with time and I/O.
    #[must_use]
    pub fn start(self) -> Containerd {
        let tracker =
            Tracker::new(self.node.clone(), self.namespace.clone()).with_silence(self.silence);
        let (node, namespace) = (self.node, self.namespace.clone());
        let recorder = self.record.map(|out| Recorder::new(out, node, namespace));
        let connect = Socket {
            path: self.socket,
            namespace: self.namespace,
            on_call: self.on_call,
        };
        Containerd::spawn(connect, Clock::system(), tracker, recorder)
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("node", &self.node)
            .field("namespace", &self.namespace)
            .field("socket", &self.socket)
            .field("silence", &self.silence)
            .field("record", &self.record.is_some())
            .finish()
    }
}

/// The real containerd.
struct Socket {
    path: Option<PathBuf>,
    namespace: Namespace,
    on_call: OnCall,
}

impl Connect for Socket {
    type Daemon = Client;

    async fn connect(&mut self) -> Result<Connected<Client>, DiscoverError> {
        let found = discover::find(self.path.as_deref(), &self.namespace, &self.on_call).await?;
        Ok(Connected {
            daemon: found.client,
            server: found.server,
            at: found.path.display().to_string(),
            has_namespace: found.has_namespace,
        })
    }
}

impl Daemon for Client {
    fn started_at(&self) -> Option<NodeTime> {
        Client::started_at(self)
    }

    fn left_out(&self) -> u64 {
        Client::left_out(self)
    }

    async fn poll(&self, idle: bool) -> Result<Poll, ClientError> {
        Client::poll(self, idle, tracker::wants).await
    }

    async fn answer(&self, query: &Query) -> Result<Reply, ClientError> {
        Client::answer(self, query).await
    }

    async fn events(&self, tell: impl FnMut(Event) + Send) -> ClientError {
        Client::events(self, tell).await
    }
}

/// Every method that is ever called, as service and method: `Leases/List`. There are twelve.
pub fn methods() -> impl Iterator<Item = &'static str> {
    client::Method::ALL.into_iter().map(client::Method::name)
}
