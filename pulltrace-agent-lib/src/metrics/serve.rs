//! An HTTP endpoint with `/metrics` and `/healthz`; one request per connection.

use std::convert::Infallible;
use std::error::Error as StdError;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use pulltrace_core::wire::v1::Problem;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::families::Metrics;
use crate::monitor::Monitor;

/// The maximum number of concurrent connections; further ones wait. Expected clients are one or two
/// Prometheus servers and the kubelet.
const MAX_CONNECTIONS: usize = 64;

/// Time limit of a connection, from accept to the end of the response.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(5);

/// The maximum size of a request head.
const MAX_REQUEST_HEAD: usize = 16 * 1024;

const EXPOSITION_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A bound listener for metrics and health.
///
/// ```no_run
/// use pulltrace_agent_lib::metrics::{Endpoint, Metrics};
/// use pulltrace_agent_lib::source::containerd::Containerd;
/// use pulltrace_agent_lib::{Collector, Settings, sink};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let endpoint = Endpoint::bind("127.0.0.1:9090".parse()?).await?;
/// let metrics = Metrics::new("0.1.0", "unknown")?;
/// let source = Containerd::builder("worker-1".parse()?).on_call(metrics.on_call()).start();
/// metrics.register_source(source.stats_reader());
/// let (sink, _reports) = sink::channel(16);
/// let collector = Collector::new(source, sink, Settings::new("worker-1".parse()?))?;
/// tokio::spawn(endpoint.serve(metrics, collector.monitor()));
/// collector.run(std::future::pending()).await?;
/// # Ok(()) }
/// ```
#[derive(Debug)]
#[must_use]
pub struct Endpoint {
    socket: TcpListener,
    address: SocketAddr,
}

/// A failure to bind an address. A retry helps once another process releases it.
#[derive(Debug, thiserror::Error)]
#[error("failed to listen on {address}")]
pub struct ListenError {
    address: SocketAddr,
    #[source]
    source: std::io::Error,
}

impl Endpoint {
    /// Binds an address. Port 0 selects a free port.
    ///
    /// # Errors
    /// Returns an error if the port is in use or the address does not belong to this machine.
    pub async fn bind(address: SocketAddr) -> Result<Self, ListenError> {
        let failed = |source| ListenError { address, source };
        let socket = match TcpListener::bind(address).await {
            // On a machine without IPv6, `[::]` means all IPv4 addresses.
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
        Ok(Self { socket, address })
    }

    /// Returns the bound address.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until dropped: `/metrics` with the statistics of the monitored collector, and
    /// `/healthz` with 200 or 503 according to [`Monitor::health`].
    pub async fn serve(self, metrics: Metrics, monitor: Monitor) {
        metrics.register_collector(&monitor);
        let agent = Arc::new(Handler { metrics, monitor });
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                // Removes finished connections.
                Some(_) = connections.join_next() => {}
                accepted = self.socket.accept(), if connections.len() < MAX_CONNECTIONS => match accepted {
                    Ok((stream, _)) => {
                        let connection = tokio::time::timeout(CONNECTION_TIMEOUT, handle_connection(stream, Arc::clone(&agent)));
                        connections.spawn(connection);
                    }
                    Err(error) => {
                        // Usually too many open files. Retrying immediately would only burn CPU.
                        tracing::warn!(%error, "failed to accept a connection");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                },
            }
        }
    }
}

struct Handler {
    metrics: Metrics,
    monitor: Monitor,
}

/// Serves one connection. Errors only end that connection.
async fn handle_connection(stream: TcpStream, agent: Arc<Handler>) {
    let answer = service_fn(move |request: Request<Incoming>| {
        let answer = agent.respond(request.method(), request.uri().path());
        async move { Ok::<_, Infallible>(answer) }
    });
    let connection = http1::Builder::new()
        .keep_alive(false)
        .max_buf_size(MAX_REQUEST_HEAD)
        .serve_connection(TokioIo::new(stream), answer);
    if let Err(error) = connection.await {
        tracing::trace!(error = &error as &dyn StdError, "connection error");
    }
}

impl Handler {
    fn respond(&self, method: &Method, path: &str) -> Response<Full<Bytes>> {
        match (path, method) {
            ("/metrics", &Method::GET | &Method::HEAD) => match self.metrics.encode() {
                Ok(text) => response(StatusCode::OK, EXPOSITION_TYPE, text),
                Err(error) => {
                    let error = &error as &dyn StdError;
                    tracing::error!(error, "failed to encode metrics");
                    let title = "Failed to encode metrics";
                    problem_response(StatusCode::INTERNAL_SERVER_ERROR, "internal", title, None)
                }
            },
            ("/healthz", &Method::GET | &Method::HEAD) => match self.monitor.health() {
                Ok(()) => response(StatusCode::OK, "text/plain; charset=utf-8", "ok\n".to_owned()),
                Err(why) => {
                    let title = "The agent is unhealthy";
                    let status = StatusCode::SERVICE_UNAVAILABLE;
                    let detail = match why.help() {
                        Some(help) => format!("{why}. {help}"),
                        None => why.to_string(),
                    };
                    problem_response(status, "unwell", title, Some(detail))
                }
            },
            ("/metrics" | "/healthz", _) => {
                let title = "Method not allowed";
                problem_response(StatusCode::METHOD_NOT_ALLOWED, "method", title, None)
            }
            _ => problem_response(StatusCode::NOT_FOUND, "not_found", "Not found", None),
        }
    }
}

fn response(status: StatusCode, content_type: &'static str, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// Returns an `application/problem+json` response in the format of the server's.
fn problem_response(
    status: StatusCode,
    reason: &str,
    title: &str,
    detail: Option<String>,
) -> Response<Full<Bytes>> {
    let problem = Problem {
        status: status.as_u16(),
        title: title.to_owned(),
        detail,
        reason: reason.to_owned(),
    };
    let text = serde_json::to_string(&problem).unwrap_or_default();
    response(status, "application/problem+json", text)
}
