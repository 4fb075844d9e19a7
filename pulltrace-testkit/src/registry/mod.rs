//! A local OCI registry whose answers can be held back, slowed, cut, corrupted
//! or refused at an exact byte, and that tells what was requested.
//!
//! It runs on a thread of its own, so a test may block and may pause its own
//! clock. Bytes count from the start of the blob, also when a client resumes
//! in the middle.

mod fault;
mod log;
mod serve;

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;

pub use fault::{Gate, Refusal, Times};
pub use log::{End, Kind, Request};

use crate::image::{Blob, Image};
use crate::wait::{self, TimedOut};
use fault::Faults;
use log::Log;

/// A running registry. Clones are handles of the same one; it stops, and cuts
/// what is still being sent, when the last is dropped.
#[derive(Debug, Clone)]
pub struct Registry {
    state: Arc<State>,
    server: Arc<Server>,
}

impl Registry {
    /// Starts a registry on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// When the port or the thread cannot be had.
    pub fn start() -> io::Result<Self> {
        let state = Arc::new(State::default());
        let server = Arc::new(Server::start(Arc::clone(&state))?);
        Ok(Self { state, server })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.server.address
    }

    /// The full reference of `name`: `app:1` → `127.0.0.1:34567/app:1`.
    #[must_use]
    pub fn reference(&self, name: &str) -> String {
        format!("{}/{name}", self.server.address)
    }

    /// Stores `image` under `name`, as in `team/app:1`, and returns its full
    /// reference. An old tag of that name moves. A name without a tag is
    /// stored by digest alone, and the reference ends with the digest.
    #[expect(
        clippy::must_use_candidate,
        reason = "it is called for what it stores; the reference may be unwanted"
    )]
    pub fn push(&self, name: &str, image: &Image) -> String {
        let (repository, tag) = match name.split_once(':') {
            Some((repository, tag)) => (repository, Some(tag)),
            None => (name, None),
        };
        let mut content = lock(&self.state.content);
        content.blobs.extend(
            image
                .blobs
                .iter()
                .map(|(digest, blob)| (digest.clone(), blob.clone())),
        );
        let repo = content
            .repositories
            .entry(repository.to_owned())
            .or_default();
        repo.blobs.extend(image.blobs.keys().cloned());
        repo.documents.extend(
            image
                .documents
                .iter()
                .map(|(digest, document)| (digest.clone(), document.clone())),
        );
        if let Some(tag) = tag {
            repo.tags.insert(tag.to_owned(), image.root.digest.clone());
            self.reference(name)
        } else {
            self.reference(&format!("{repository}@{}", image.root.digest))
        }
    }

    /// The blob of this digest, in every repository.
    pub fn blob(&self, digest: &str) -> Target {
        self.target(Some(Kind::Blob), Some(digest))
    }

    /// The manifest or index with this tag or digest, in every repository. A
    /// digest also stands for requests by a tag that leads to it; a tag only
    /// for requests by this tag.
    pub fn manifest(&self, reference: &str) -> Target {
        self.target(Some(Kind::Manifest), Some(reference))
    }

    /// All blobs. A throttle here is one limit that they share.
    pub fn blobs(&self) -> Target {
        self.target(Some(Kind::Blob), None)
    }

    /// All manifests and indexes.
    pub fn manifests(&self) -> Target {
        self.target(Some(Kind::Manifest), None)
    }

    /// Every request. A throttle here is one limit for the whole registry.
    pub fn everything(&self) -> Target {
        self.target(None, None)
    }

    /// Ends all faults: gates open, limits fall.
    pub fn clear_faults(&self) {
        self.state.faults.clear(|_| true);
    }

    /// All requests so far, the oldest first, the running ones included. The
    /// log holds the last 65,536; see [`Registry::forgotten_requests`].
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        self.state.log.requests(|_| true)
    }

    /// How many requests the log has forgotten.
    #[must_use]
    pub fn forgotten_requests(&self) -> u64 {
        self.state.log.forgotten()
    }

    fn target(&self, kind: Option<Kind>, reference: Option<&str>) -> Target {
        Target {
            state: Arc::clone(&self.state),
            address: Address {
                kind,
                repository: None,
                reference: reference.map(str::to_owned),
            },
        }
    }
}

/// What faults and questions are about: [`Registry::blob`] and its siblings.
#[derive(Debug, Clone)]
#[must_use = "a target does nothing by itself"]
pub struct Target {
    state: Arc<State>,
    address: Address,
}

impl Target {
    /// The same, but only in this repository (`team/app`, without a tag).
    pub fn in_repository(mut self, repository: &str) -> Self {
        self.address.repository = Some(repository.to_owned());
        self
    }

    /// Sends nothing from byte `at` on, until the gate is released or dropped.
    pub fn hold(&self, at: u64) -> Gate {
        self.state.faults.hold(self.address.clone(), at)
    }

    /// Accepts requests and does not even begin to answer, until the gate is
    /// released or dropped.
    pub fn silent(&self) -> Gate {
        self.state.faults.silent(self.address.clone())
    }

    /// Sends at most `rate` bytes per second, shared by all transfers of this
    /// target; `None` lifts the limit, 0 lets nothing pass. Takes effect in
    /// transfers that are already running.
    pub fn throttle(&self, rate: Option<u64>) {
        self.state.faults.throttle(&self.address, rate);
    }

    /// Drops the connection instead of sending byte `at` or a later one.
    pub fn cut(&self, at: u64, times: Times) {
        self.state.faults.cut(self.address.clone(), at, times);
    }

    /// Sends byte `at` with all its bits flipped.
    pub fn corrupt(&self, at: u64) {
        self.state.faults.corrupt(self.address.clone(), at);
    }

    /// Answers with an error.
    pub fn refuse(&self, refusal: Refusal) {
        self.state.faults.refuse(self.address.clone(), refusal);
    }

    /// Ends the faults that were set on exactly this target.
    pub fn clear(&self) {
        self.state.faults.clear(|address| *address == self.address);
    }

    /// The requests of this target, the oldest first.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        self.state
            .log
            .requests(|request| self.address.matches(request))
    }

    /// Body bytes sent for this target by all requests together.
    #[must_use]
    pub fn bytes_sent(&self) -> u64 {
        self.requests().iter().map(|request| request.sent).sum()
    }

    /// Waits until this target was requested `count` times in all.
    ///
    /// # Errors
    /// [`TimedOut`] with the number seen.
    pub async fn await_requests(&self, count: usize, deadline: Duration) -> Result<(), TimedOut> {
        let what = format!("{} was requested {count} times", self.address);
        wait::until(what, deadline, async || {
            (self.requests().len() >= count).then_some(())
        })
        .await
    }

    /// Waits until at least `bytes` body bytes were sent for this target.
    ///
    /// # Errors
    /// [`TimedOut`].
    pub async fn await_bytes(&self, bytes: u64, deadline: Duration) -> Result<(), TimedOut> {
        let what = format!("{bytes} bytes of {} were sent", self.address);
        wait::until(what, deadline, async || {
            (self.bytes_sent() >= bytes).then_some(())
        })
        .await
    }
}

/// Which requests a target means; what is `None` means all.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Address {
    kind: Option<Kind>,
    repository: Option<String>,
    reference: Option<String>,
}

impl Address {
    fn matches(&self, request: &Request) -> bool {
        self.kind.is_none_or(|kind| kind == request.kind)
            && self
                .repository
                .as_ref()
                .is_none_or(|repository| Some(repository) == request.repository.as_ref())
            && self.reference.as_ref().is_none_or(|reference| {
                Some(reference) == request.reference.as_ref()
                    || Some(reference) == request.digest.as_ref()
            })
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = match self.kind {
            Some(Kind::Blob) => "blob",
            Some(Kind::Manifest) => "manifest",
            Some(Kind::Other) | None => "resource",
        };
        match &self.reference {
            Some(reference) => write!(f, "the {kind} {reference}")?,
            None => write!(f, "any {kind}")?,
        }
        match &self.repository {
            Some(repository) => write!(f, " of {repository}"),
            None => Ok(()),
        }
    }
}

/// What the handles and the server share.
#[derive(Debug, Default)]
struct State {
    content: Mutex<Content>,
    faults: Faults,
    log: Log,
}

#[derive(Debug, Default)]
struct Content {
    repositories: HashMap<String, Repository>,
    blobs: HashMap<String, Blob>,
}

#[derive(Debug, Default)]
struct Repository {
    tags: HashMap<String, String>,
    documents: HashMap<String, (String, Bytes)>,
    blobs: BTreeSet<String>,
}

/// A lock that a panic elsewhere does not take away: the data behind the
/// registry's locks is whole between any two statements.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The thread that answers.
#[derive(Debug)]
struct Server {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    fn start(state: Arc<State>) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name("registry".into())
            .spawn(move || runtime.block_on(serve::run(listener, state, stopped)))?;
        Ok(Self {
            address,
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
            && !std::thread::panicking()
        {
            panic!("the registry's thread panicked");
        }
    }
}
