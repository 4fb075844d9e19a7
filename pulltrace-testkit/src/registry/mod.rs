//! A local OCI registry whose responses can be held back, throttled, cut off, corrupted or rejected
//! at an exact byte, and that logs all requests.
//!
//! It runs on its own thread, so a test may block and may pause its own clock. Byte offsets count
//! from the start of the blob, even if a client resumes in the middle.

mod fault;
mod lock;
mod log;
mod matcher;
mod serve;
mod state;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::oneshot;

pub use fault::{Gate, Refusal, Times};
pub use log::{Request, RequestKind, ResponseEnd};

use crate::image::Image;
use crate::wait::{self, TimedOut};
use lock::lock;
use matcher::RequestMatcher;
use state::SharedState;

/// A running registry. Clones are handles of the same registry; dropping the last one stops it and
/// aborts responses in progress.
#[derive(Debug, Clone)]
pub struct Registry {
    state: Arc<SharedState>,
    server: Arc<ServerThread>,
}

impl Registry {
    /// Starts a registry on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// When the socket or the thread cannot be created.
    pub fn start() -> io::Result<Self> {
        let state = Arc::new(SharedState::default());
        let server = Arc::new(ServerThread::start(Arc::clone(&state))?);
        Ok(Self { state, server })
    }

    /// The address that it listens on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.server.address
    }

    /// The full reference of `name`: `app:1` → `127.0.0.1:34567/app:1`.
    #[must_use]
    pub fn reference(&self, name: &str) -> String {
        format!("{}/{name}", self.server.address)
    }

    /// Stores `image` under a name such as `team/app:1` and returns its full reference. An existing
    /// tag is moved. Without a tag, the image is stored by digest only and the reference ends with
    /// the digest.
    #[expect(
        clippy::must_use_candidate,
        reason = "called for its side effect; the reference may be unused"
    )]
    pub fn push(&self, name: &str, image: &Image) -> String {
        let (repository, tag) = match name.split_once(':') {
            Some((repository, tag)) => (repository, Some(tag)),
            None => (name, None),
        };
        let mut content = lock(&self.state.content);
        content
            .blobs
            .extend(image.blobs.iter().map(|(digest, blob)| (digest.clone(), blob.clone())));
        let repo = content.repositories.entry(repository.to_owned()).or_default();
        repo.blobs.extend(image.blobs.keys().cloned());
        repo.documents.extend(
            image.documents.iter().map(|(digest, document)| (digest.clone(), document.clone())),
        );
        if let Some(tag) = tag {
            repo.tags.insert(tag.to_owned(), image.root.digest.clone());
            self.reference(name)
        } else {
            self.reference(&format!("{repository}@{}", image.root.digest))
        }
    }

    /// The blob with this digest, in every repository.
    pub fn blob(&self, digest: &str) -> Target {
        self.target(Some(RequestKind::Blob), Some(digest))
    }

    /// The manifest or index with this tag or digest, in every repository. A digest also matches
    /// requests by a tag that resolves to it; a tag matches only requests by that tag.
    pub fn manifest(&self, reference: &str) -> Target {
        self.target(Some(RequestKind::Manifest), Some(reference))
    }

    /// All blobs. A throttle on this target is one limit that they share.
    pub fn blobs(&self) -> Target {
        self.target(Some(RequestKind::Blob), None)
    }

    /// All manifests and indexes.
    pub fn manifests(&self) -> Target {
        self.target(Some(RequestKind::Manifest), None)
    }

    /// All requests. A throttle on this target is one limit for the whole registry.
    pub fn everything(&self) -> Target {
        self.target(None, None)
    }

    /// Clears all faults: releases gates and lifts limits.
    pub fn clear_faults(&self) {
        self.state.faults.clear(|_| true);
    }

    /// All requests so far, oldest first, including those in progress. The log holds the latest
    /// 65,536; see [`Registry::evicted_requests`].
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        self.state.log.requests(|_| true)
    }

    /// The number of requests evicted from the log.
    #[must_use]
    pub fn evicted_requests(&self) -> u64 {
        self.state.log.evicted()
    }

    fn target(&self, kind: Option<RequestKind>, reference: Option<&str>) -> Target {
        Target {
            state: Arc::clone(&self.state),
            matcher: RequestMatcher {
                kind,
                repository: None,
                reference: reference.map(str::to_owned),
            },
        }
    }
}

/// A set of requests for fault injection and for queries: see [`Registry::blob`] and the methods
/// next to it.
#[derive(Debug, Clone)]
#[must_use = "a target has no effect by itself"]
pub struct Target {
    state: Arc<SharedState>,
    matcher: RequestMatcher,
}

impl Target {
    /// Limits the target to this repository (`team/app`, without a tag).
    pub fn in_repository(mut self, repository: &str) -> Self {
        self.matcher.repository = Some(repository.to_owned());
        self
    }

    /// Sends nothing from byte `at` on until the gate is released or dropped.
    pub fn hold(&self, at: u64) -> Gate {
        self.state.faults.hold(self.matcher.clone(), at)
    }

    /// Accepts requests but sends no response, not even headers, until the gate is released or
    /// dropped.
    pub fn silent(&self) -> Gate {
        self.state.faults.silent(self.matcher.clone())
    }

    /// Limits the rate to `rate` bytes per second, shared by all transfers of this target. `None`
    /// lifts the limit, 0 stops all transfers. Also affects transfers in progress.
    pub fn throttle(&self, rate: Option<u64>) {
        self.state.faults.throttle(&self.matcher, rate);
    }

    /// Drops the connection instead of sending byte `at` or a later one.
    pub fn cut(&self, at: u64, times: Times) {
        self.state.faults.cut(self.matcher.clone(), at, times);
    }

    /// Sends byte `at` with all bits flipped.
    pub fn corrupt(&self, at: u64) {
        self.state.faults.corrupt(self.matcher.clone(), at);
    }

    /// Responds with an error.
    pub fn refuse(&self, refusal: Refusal) {
        self.state.faults.refuse(self.matcher.clone(), refusal);
    }

    /// Clears the faults that were added to exactly this target.
    pub fn clear(&self) {
        self.state.faults.clear(|address| *address == self.matcher);
    }

    /// The requests of this target, oldest first.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        self.state.log.requests(|request| self.matcher.matches(request))
    }

    /// The number of body bytes sent for this target, over all requests.
    #[must_use]
    pub fn bytes_sent(&self) -> u64 {
        self.requests().iter().map(|request| request.sent).sum()
    }

    /// Waits until this target has been requested `count` times in total.
    ///
    /// # Errors
    /// [`TimedOut`].
    pub async fn await_requests(&self, count: usize, deadline: Duration) -> Result<(), TimedOut> {
        let what = format!("{} has been requested {count} times", self.matcher);
        wait::until(what, deadline, async || (self.requests().len() >= count).then_some(())).await
    }

    /// Waits until at least `bytes` body bytes have been sent for this target.
    ///
    /// # Errors
    /// [`TimedOut`].
    pub async fn await_bytes(&self, bytes: u64, deadline: Duration) -> Result<(), TimedOut> {
        let what = format!("{bytes} bytes of {} have been sent", self.matcher);
        wait::until(what, deadline, async || (self.bytes_sent() >= bytes).then_some(())).await
    }
}

/// The server thread.
#[derive(Debug)]
struct ServerThread {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl ServerThread {
    fn start(state: Arc<SharedState>) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name("registry".into())
            .spawn(move || runtime.block_on(serve::run(listener, state, stopped)))?;
        Ok(Self { address, stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for ServerThread {
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
