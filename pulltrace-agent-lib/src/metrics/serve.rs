//! A port of the agent's own: `/metrics` and `/healthz`, one request a connection.

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

use super::Metrics;
use crate::monitor::Monitor;

/// Who reads is one Prometheus, or two, and the kubelet. A further one waits until one of these is done.
const CONNECTIONS: usize = 64;

/// From a connection to the end of its answer; then it is cut off.
const DEADLINE: Duration = Duration::from_secs(5);

/// The longest head of a request.
const MOST_BUFFERED: usize = 16 * 1024;

const EXPOSITION: &str = "text/plain; version=0.0.4; charset=utf-8";

/// An address that is listened on.
///
/// ```no_run
/// use pulltrace_agent_lib::metrics::{Endpoint, Metrics};
/// use pulltrace_agent_lib::source::containerd::Containerd;
/// use pulltrace_agent_lib::{Collector, sink};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let endpoint = Endpoint::bind("127.0.0.1:9090".parse()?).await?;
/// let metrics = Metrics::new("0.1.0", "unknown")?;
/// let source = Containerd::builder("worker-1".parse()?).on_call(metrics.on_call()).start();
/// metrics.watch_source(source.stats_reader());
/// let (sink, _reports) = sink::channel(16);
/// let collector = Collector::builder("worker-1".parse()?).source(source).sink(sink).build()?;
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

/// An address that cannot be listened on. A retry helps once nobody else does.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}")]
pub struct ListenError {
    address: SocketAddr,
    #[source]
    source: std::io::Error,
}

impl Endpoint {
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
        Ok(Self { socket, address })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers whoever asks, until it is dropped: `/metrics`, with what the collector behind this monitor
    /// does, and `/healthz`, with [`Monitor::health`]: 200 or 503.
    pub async fn serve(self, metrics: Metrics, monitor: Monitor) {
        metrics.watch(&monitor);
        let agent = Arc::new(Agent { metrics, monitor });
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                // Those that ended are let go of.
                Some(_) = connections.join_next() => {}
                accepted = self.socket.accept(), if connections.len() < CONNECTIONS => match accepted {
                    Ok((stream, _)) => {
                        let talk = tokio::time::timeout(DEADLINE, talk(stream, Arc::clone(&agent)));
                        connections.spawn(talk);
                    }
                    Err(error) => {
                        // Too many open files, mostly: asking again at once would only burn the processor.
                        tracing::warn!(%error, "cannot accept a connection");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                },
            }
        }
    }
}

struct Agent {
    metrics: Metrics,
    monitor: Monitor,
}

/// Whatever goes wrong with a connection ends it, and concerns nobody else.
async fn talk(stream: TcpStream, agent: Arc<Agent>) {
    let answer = service_fn(move |request: Request<Incoming>| {
        let answer = agent.answer(request.method(), request.uri().path());
        async move { Ok::<_, Infallible>(answer) }
    });
    let connection = http1::Builder::new()
        .keep_alive(false)
        .max_buf_size(MOST_BUFFERED)
        .serve_connection(TokioIo::new(stream), answer);
    if let Err(error) = connection.await {
        tracing::trace!(error = &error as &dyn StdError, "a connection ended early");
    }
}

impl Agent {
    fn answer(&self, method: &Method, path: &str) -> Response<Full<Bytes>> {
        match (path, method) {
            ("/metrics", &Method::GET | &Method::HEAD) => match self.metrics.text() {
                Ok(text) => said(StatusCode::OK, EXPOSITION, text),
                Err(error) => {
                    let error = &error as &dyn StdError;
                    tracing::error!(error, "no metrics");
                    let title = "The metrics cannot be written";
                    problem(StatusCode::INTERNAL_SERVER_ERROR, "internal", title, None)
                }
            },
            ("/healthz", &Method::GET | &Method::HEAD) => match self.monitor.health() {
                Ok(()) => said(
                    StatusCode::OK,
                    "text/plain; charset=utf-8",
                    "ok\n".to_owned(),
                ),
                Err(why) => {
                    let title = "The agent does not do its work";
                    let status = StatusCode::SERVICE_UNAVAILABLE;
                    problem(status, "unwell", title, Some(why.to_string()))
                }
            },
            ("/metrics" | "/healthz", _) => {
                let title = "This cannot be done here";
                problem(StatusCode::METHOD_NOT_ALLOWED, "method", title, None)
            }
            _ => problem(
                StatusCode::NOT_FOUND,
                "not_found",
                "There is nothing here",
                None,
            ),
        }
    }
}

fn said(status: StatusCode, kind: &'static str, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// As the server's are, for programs and for people.
fn problem(
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
    said(status, "application/problem+json", text)
}
