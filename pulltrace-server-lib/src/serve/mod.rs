//! Serves listeners: connections, timeouts, TLS, and a graceful shutdown that does not wait for
//! stream readers.

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

use crate::http::Connection;
use crate::metrics::HttpCounters;
use io::{HttpVersion, IdleTimeout};
pub use tls::{Tls, TlsError};

/// Maximum number of buffered bytes per response, for HTTP/1 and HTTP/2.
const WRITE_BUFFER: usize = 64 * 1024;

/// Limits of connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServeLimits {
    /// Maximum number of concurrent connections. Further ones are closed immediately and counted.
    /// Default 20,000.
    pub max_connections: usize,
    /// Timeout from accepting a connection to its first bytes, or to the end of the TLS handshake.
    /// Default 5 s.
    pub handshake_timeout: Duration,
    /// Timeout from the first byte of a request to the end of its head, and between two requests on
    /// a connection. Default 30 s.
    pub header_timeout: Duration,
    /// Write timeout: a connection is closed if its peer accepts no data for this long.
    /// Default 30 s.
    pub write_timeout: Duration,
    /// Timeout for requests in progress during a shutdown. Default 5 s.
    pub drain_timeout: Duration,
}

impl Default for ServeLimits {
    fn default() -> Self {
        Self {
            max_connections: 20_000,
            handshake_timeout: Duration::from_secs(5),
            header_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(30),
            drain_timeout: Duration::from_secs(5),
        }
    }
}

/// A bound address, with or without TLS.
#[derive(Debug)]
#[must_use]
pub struct Listener {
    socket: TcpListener,
    address: SocketAddr,
    tls: Option<Tls>,
}

/// A failure to bind an address. A retry helps once another process releases it.
#[derive(Debug, thiserror::Error)]
#[error("failed to listen on {address}")]
pub struct ListenError {
    address: SocketAddr,
    #[source]
    source: std::io::Error,
}

impl Listener {
    /// Binds an address; port 0 selects any free port.
    ///
    /// # Errors
    /// Fails if the port is in use, or the address does not belong to this machine.
    pub async fn bind(address: SocketAddr) -> Result<Self, ListenError> {
        let failed = |source| ListenError { address, source };
        let socket = match TcpListener::bind(address).await {
            // Without IPv6, fall back from the unspecified IPv6 address to that of IPv4.
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
        Ok(Self { socket, address, tls: None })
    }

    /// Accepts only TLS connections.
    pub fn tls(mut self, tls: Tls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// The bound address.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL for a browser on this machine.
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

/// Serves a router on a listener until `shutdown` completes. Then closes each connection after its
/// current request, and aborts those still open after [`ServeLimits::drain_timeout`].
pub(crate) async fn serve(
    listener: Listener,
    router: Router,
    limits: ServeLimits,
    stats: Arc<HttpCounters>,
    shutdown: impl Future<Output = ()>,
) {
    let Listener { socket, address, tls } = listener;
    let room = Arc::new(Semaphore::new(limits.max_connections));
    let graceful = GracefulShutdown::new();
    let (stop, stopping) = watch::channel(false);
    let mut connections = JoinSet::new();
    let reloading = tls.clone().map(|tls| tokio::spawn(tls.reload_periodically()));
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            () = &mut shutdown => break,
            accepted = socket.accept() => accepted,
            // Reap finished connections.
            Some(_) = connections.join_next() => continue,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Usually too many open files: retrying immediately would be a busy loop.
                tracing::warn!(%error, "failed to accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let Ok(permit) = Arc::clone(&room).try_acquire_owned() else {
            stats.connections_refused.add(1);
            continue;
        };
        let one = ConnectionTask {
            listener: address,
            router: router.clone(),
            limits,
            watcher: graceful.watcher(),
            stopping: stopping.clone(),
            place: permit,
        };
        connections.spawn(one.run(stream, tls.clone()));
    }
    drop(socket);
    stop.send_replace(true);
    if let Some(reloading) = reloading {
        reloading.abort();
    }
    if tokio::time::timeout(limits.drain_timeout, graceful.shutdown()).await.is_err() {
        tracing::warn!(
            open = connections.len(),
            "drain timeout reached; closing the remaining connections"
        );
    }
    connections.shutdown().await;
}

/// A client connection.
struct ConnectionTask {
    listener: SocketAddr,
    router: Router,
    limits: ServeLimits,
    watcher: Watcher,
    stopping: watch::Receiver<bool>,
    place: OwnedSemaphorePermit,
}

impl ConnectionTask {
    /// Errors end the connection and are not reported.
    async fn run(self, stream: TcpStream, tls: Option<Tls>) {
        // Send small responses and events without delay.
        let _slower_without = stream.set_nodelay(true);
        let (cut, cut_off) = watch::channel(false);
        let connection = Arc::new(Connection::new(self.listener, cut));
        let mut patient =
            IdleTimeout::new(stream, self.limits.write_timeout, Arc::clone(&connection));
        match tls {
            None => {
                if let Some(version) = self.with_handshake_timeout(patient.detect_version()).await {
                    self.serve_requests(patient, version, connection, cut_off).await;
                }
            }
            // Boxed, so that plaintext connections do not reserve space for the TLS state.
            Some(tls) => Box::pin(self.run_tls(patient, tls, connection, cut_off)).await,
        }
    }

    async fn run_tls(
        self,
        patient: IdleTimeout<TcpStream>,
        tls: Tls,
        link: Arc<Connection>,
        cut_off: watch::Receiver<bool>,
    ) {
        if let Some(stream) = self.with_handshake_timeout(tls.acceptor().accept(patient)).await {
            let version = match stream.get_ref().1.alpn_protocol() {
                Some(b"h2") => HttpVersion::Http2,
                _ => HttpVersion::Http1,
            };
            self.serve_requests(stream, version, link, cut_off).await;
        }
    }

    /// Awaits the handshake. Returns `None` on timeout, on error and on shutdown.
    async fn with_handshake_timeout<T>(
        &self,
        greeting: impl Future<Output = std::io::Result<T>>,
    ) -> Option<T> {
        let mut stopping = self.stopping.clone();
        tokio::select! {
            _ = stopping.wait_for(|now| *now) => None,
            done = tokio::time::timeout(self.limits.handshake_timeout, greeting) => done.ok()?.ok(),
        }
    }

    /// Serves the requests of a connection.
    ///
    /// Not an `async fn`: its future would store both the arguments and the connection built from
    /// them, for thousands of connections.
    fn serve_requests(
        self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        version: HttpVersion,
        link: Arc<Connection>,
        mut cut_off: watch::Receiver<bool>,
    ) -> impl Future<Output = ()> + Send {
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(self.limits.header_timeout)
            .max_buf_size(WRITE_BUFFER);
        builder
            .http2()
            .timer(TokioTimer::new())
            .keep_alive_interval(self.limits.header_timeout)
            .max_concurrent_streams(100)
            .max_header_list_size(16 * 1024)
            .max_send_buf_size(WRITE_BUFFER);
        // The version is known already; hyper's own detection has no timeout.
        let builder = match version {
            HttpVersion::Http1 => builder.http1_only(),
            HttpVersion::Http2 => builder.http2_only(),
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
        let permit = self.place;
        async move {
            let _until_it_ends = permit;
            tokio::select! {
                ended = &mut connection => if let Err(error) = ended {
                    tracing::trace!(error, "connection error");
                },
                _ = cut_off.wait_for(|cut| *cut) => {}
            }
        }
    }
}
