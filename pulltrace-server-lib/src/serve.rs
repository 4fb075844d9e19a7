//! From listeners to requests: connections, their time limits, TLS, and an end that does not wait
//! for readers that never leave.

mod io;
mod tls;

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tower::ServiceExt as _;

use crate::http::Link;
use crate::metrics::Stats;
use io::{Patient, Version};
pub use tls::{Tls, TlsError};

/// What a response may have written without anybody reading it, over HTTP/1 and HTTP/2 alike.
const WRITE_BUFFER: usize = 64 * 1024;

/// The bounds of connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServeLimits {
    /// Connections at once; a further one is closed at once and counted. Default 20,000.
    pub connections: usize,
    /// From the connection to its first bytes, and over TLS to the end of the handshake. Default 5 s.
    pub greeting: Duration,
    /// From the first byte of a request to the end of its head, and from one request to the next on
    /// the same connection. Default 30 s.
    pub head: Duration,
    /// How long the other side may accept nothing of what is to be written; then the connection is
    /// closed. Default 30 s.
    pub write: Duration,
    /// From being told to stop to the end of the last request. Default 5 s.
    pub drain: Duration,
}

impl Default for ServeLimits {
    fn default() -> Self {
        Self {
            connections: 20_000,
            greeting: Duration::from_secs(5),
            head: Duration::from_secs(30),
            write: Duration::from_secs(30),
            drain: Duration::from_secs(5),
        }
    }
}

/// An address that is listened on, with or without TLS.
#[derive(Debug)]
#[must_use]
pub struct Listener {
    socket: TcpListener,
    address: SocketAddr,
    tls: Option<Tls>,
}

/// An address that cannot be listened on. A retry helps once nobody else does.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}")]
pub struct ListenError {
    address: SocketAddr,
    #[source]
    source: std::io::Error,
}

impl Listener {
    /// Listens on an address; port 0 is any free one.
    ///
    /// # Errors
    /// Where the port is taken, or the address is not one of this machine.
    pub async fn bind(address: SocketAddr) -> Result<Self, ListenError> {
        let failed = |source| ListenError { address, source };
        let socket = match TcpListener::bind(address).await {
            // Every address of a machine without IPv6 is every address of IPv4.
            Err(error)
                if error.kind() != std::io::ErrorKind::AddrInUse
                    && address.ip() == IpAddr::from(Ipv6Addr::UNSPECIFIED) =>
            {
                TcpListener::bind((Ipv4Addr::UNSPECIFIED, address.port())).await
            }
            bound => bound,
        };
        let socket = socket.map_err(failed)?;
        let address = socket.local_addr().map_err(failed)?;
        Ok(Self {
            socket,
            address,
            tls: None,
        })
    }

    /// Speaks TLS only.
    pub fn tls(mut self, tls: Tls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where a browser on this machine finds it.
    #[must_use]
    pub fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let mut address = self.address;
        if address.ip().is_unspecified() {
            return format!("{scheme}://localhost:{}/", address.port());
        }
        address.set_ip(address.ip().to_canonical());
        format!("{scheme}://{address}/")
    }
}

/// Serves a router on a listener until `shutdown` is ready, and then ends each connection after the
/// request that it is at; what has not ended after [`ServeLimits::drain`] is cut off.
pub(crate) async fn serve(
    listener: Listener,
    router: Router,
    limits: ServeLimits,
    stats: Arc<Stats>,
    shutdown: impl Future<Output = ()>,
) {
    let Listener {
        socket,
        address,
        tls,
    } = listener;
    let room = Arc::new(Semaphore::new(limits.connections));
    let graceful = GracefulShutdown::new();
    let (stop, stopping) = watch::channel(false);
    let mut connections = JoinSet::new();
    let reloading = tls.clone().map(|tls| tokio::spawn(tls.reload_for_ever()));
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            () = &mut shutdown => break,
            accepted = socket.accept() => accepted,
            // Those that ended are let go of.
            Some(_) = connections.join_next() => continue,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Too many open files, mostly: asking again at once would only burn the processor.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let Ok(place) = Arc::clone(&room).try_acquire_owned() else {
            stats.connections_refused.add(1);
            continue;
        };
        let one = One {
            listener: address,
            router: router.clone(),
            limits,
            watcher: graceful.watcher(),
            stopping: stopping.clone(),
            place,
        };
        connections.spawn(one.run(stream, tls.clone()));
    }
    drop(socket);
    stop.send_replace(true);
    if let Some(reloading) = reloading {
        reloading.abort();
    }
    if tokio::time::timeout(limits.drain, graceful.shutdown())
        .await
        .is_err()
    {
        tracing::warn!(
            open = connections.len(),
            "connections are cut off: their requests did not end in time"
        );
    }
    connections.shutdown().await;
}

/// One connection.
struct One {
    listener: SocketAddr,
    router: Router,
    limits: ServeLimits,
    watcher: Watcher,
    stopping: watch::Receiver<bool>,
    place: OwnedSemaphorePermit,
}

impl One {
    /// Whatever goes wrong with a connection ends it, and concerns nobody else.
    async fn run(self, stream: TcpStream, tls: Option<Tls>) {
        // Small answers and events are not held back to be sent with others.
        let _slower_without = stream.set_nodelay(true);
        let (cut, cut_off) = watch::channel(false);
        let link = Arc::new(Link::new(self.listener, cut));
        let mut patient = Patient::new(stream, self.limits.write, Arc::clone(&link));
        match tls {
            None => {
                if let Some(version) = self.greet(patient.sniff()).await {
                    self.requests(patient, version, link, cut_off).await;
                }
            }
            // On its own: else each connection would have room for what TLS keeps.
            Some(tls) => Box::pin(self.encrypted(patient, tls, link, cut_off)).await,
        }
    }

    async fn encrypted(
        self,
        patient: Patient<TcpStream>,
        tls: Tls,
        link: Arc<Link>,
        cut_off: watch::Receiver<bool>,
    ) {
        if let Some(stream) = self.greet(tls.acceptor().accept(patient)).await {
            let version = match stream.get_ref().1.alpn_protocol() {
                Some(b"h2") => Version::Two,
                _ => Version::One,
            };
            self.requests(stream, version, link, cut_off).await;
        }
    }

    /// What comes before the first request; `None` where it takes too long, or the server stops.
    async fn greet<T>(&self, greeting: impl Future<Output = std::io::Result<T>>) -> Option<T> {
        let mut stopping = self.stopping.clone();
        tokio::select! {
            _ = stopping.wait_for(|now| *now) => None,
            done = tokio::time::timeout(self.limits.greeting, greeting) => done.ok()?.ok(),
        }
    }

    /// All requests of a connection, one after the other.
    ///
    /// Not itself async: it would keep room for what it is given beside what it makes of that, and there
    /// are thousands of connections.
    fn requests(
        self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        version: Version,
        link: Arc<Link>,
        mut cut_off: watch::Receiver<bool>,
    ) -> impl Future<Output = ()> + Send {
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(self.limits.head)
            .max_buf_size(WRITE_BUFFER);
        builder
            .http2()
            .timer(TokioTimer::new())
            .keep_alive_interval(self.limits.head)
            .max_concurrent_streams(100)
            .max_header_list_size(16 * 1024)
            .max_send_buf_size(WRITE_BUFFER);
        // Known before: its own look at the first bytes would wait for them without a limit.
        let builder = match version {
            Version::One => builder.http1_only(),
            Version::Two => builder.http2_only(),
        };
        let router = self.router;
        let service = hyper::service::service_fn(move |mut request: hyper::Request<Incoming>| {
            request.extensions_mut().insert(Arc::clone(&link));
            let router = router.clone();
            async move {
                let answer: Result<_, Infallible> = router.oneshot(request.map(Body::new)).await;
                answer
            }
        });
        let connection = builder.serve_connection(TokioIo::new(stream), service);
        let mut connection = Box::pin(self.watcher.watch(connection.into_owned()));
        let place = self.place;
        async move {
            let _until_it_ends = place;
            tokio::select! {
                ended = &mut connection => if let Err(error) = ended {
                    tracing::trace!(error, "a connection ended early");
                },
                _ = cut_off.wait_for(|cut| *cut) => {}
            }
        }
    }
}
