//! The HTTP API: routes, authorization and response headers.

mod body;
pub(crate) mod coding;
mod connection;
mod events;
mod frame_ancestors;
mod health;
mod lists;
mod pods;
mod problem;
mod query;
mod report;
mod server;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
#[cfg(feature = "ui")]
use axum::http::Method;
#[cfg(any(feature = "metrics", feature = "ui"))]
use axum::http::StatusCode;
use axum::http::header::{AUTHORIZATION, HOST};
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Router, http::header};
use tokio::sync::{Semaphore, watch};

use crate::access::{Access, AccessDenied};
use crate::clock::Clock;
use crate::metrics::HttpCounters;
#[cfg(feature = "metrics")]
use crate::metrics::Metrics;
use crate::ready::Readiness;
use crate::sources::ConfiguredSources;
use crate::table::SharedTable;
use crate::throughput::ThroughputHistory;
use crate::writer::Intake;
pub(crate) use connection::Connection;
pub use frame_ancestors::{FrameAncestors, FrameAncestorsError};
use problem::ProblemResponse;
pub(crate) use server::ServerInfo;
pub use server::{ClusterName, ClusterNameError};

/// Limits of requests and of the event stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HttpLimits {
    /// Maximum size of a compressed report, in bytes. Default 256 KiB.
    pub max_compressed_report_bytes: usize,
    /// Maximum size of a report after decompression, in bytes. Default 1 MiB.
    pub max_report_bytes: usize,
    /// Timeout from the request head to the end of the report's body. Default 10 s.
    pub report_deadline: Duration,
    /// Maximum number of concurrent stream readers. Further readers are rejected with 503 and
    /// counted. Default 10,000.
    pub max_readers: usize,
    /// Maximum number of readers with a compressed stream, which costs a few hundred KiB each.
    /// Further readers get the stream uncompressed and are counted. Default 200.
    pub max_compressed_readers: usize,
    /// Idle timeout of HTTP/2 readers, which share a connection: if a reader accepts no data for
    /// this long, its connection is closed. Default 30 s. For HTTP/1 see
    /// [`ServeLimits::write_timeout`](crate::ServeLimits::write_timeout).
    pub reader_idle_timeout: Duration,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            max_compressed_report_bytes: 256 * 1024,
            max_report_bytes: 1024 * 1024,
            report_deadline: Duration::from_secs(10),
            max_readers: 10_000,
            max_compressed_readers: 200,
            reader_idle_timeout: Duration::from_secs(30),
        }
    }
}

/// State shared by all requests.
#[derive(Debug)]
pub(crate) struct ApiState {
    pub(crate) info: ServerInfo,
    pub(crate) shared: SharedTable,
    pub(crate) intake: Intake,
    pub(crate) access: Access,
    pub(crate) readiness: Readiness,
    pub(crate) cluster: ConfiguredSources,
    pub(crate) throughput: ThroughputHistory,
    pub(crate) counters: Arc<HttpCounters>,
    pub(crate) clock: Clock,
    pub(crate) limits: HttpLimits,
    /// One permit per concurrent reader.
    pub(crate) reader_slots: Arc<Semaphore>,
    /// One permit per reader with a compressed stream.
    pub(crate) encoder_slots: Arc<Semaphore>,
    pub(crate) stopping: watch::Receiver<bool>,
    #[cfg(feature = "ui")]
    pub(crate) page: &'static crate::ui::Page,
}

/// Browser features the page does not use (all but clipboard-write).
const PERMISSIONS_POLICY: &str = "accelerometer=(), autoplay=(), camera=(), clipboard-read=(), \
    display-capture=(), encrypted-media=(), fullscreen=(), gamepad=(), geolocation=(), gyroscope=(), hid=(), \
    idle-detection=(), local-fonts=(), magnetometer=(), microphone=(), midi=(), payment=(), \
    picture-in-picture=(), publickey-credentials-create=(), publickey-credentials-get=(), \
    screen-wake-lock=(), serial=(), storage-access=(), usb=(), xr-spatial-tracking=()";

/// Headers of every response, in addition to the content security policy. There is no
/// `X-Frame-Options`: it cannot list the allowed embedders, and every browser that can run the page
/// supports the policy.
const SECURITY_HEADERS: [(HeaderName, &str); 5] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("permissions-policy"), PERMISSIONS_POLICY),
];

pub(crate) fn router(api: Arc<ApiState>, frame_ancestors: &FrameAncestors) -> Router {
    let readers = Router::new()
        .route("/api/v1/pulls", get(lists::pulls))
        .route("/api/v1/pulls/{id}", get(lists::pull))
        .route("/api/v1/nodes", get(lists::nodes))
        .route("/api/v1/images", get(lists::images))
        .route("/api/v1/pods", get(pods::list))
        .route("/api/v1/namespaces/{namespace}/pods/{pod}/pulls", get(pods::pulls))
        .route("/api/v1/events", get(events::get))
        .route("/api/v1/server", get(server::get))
        .route("/api/v1/openapi.json", get(lists::openapi))
        .route_layer(middleware::from_fn_with_state(Arc::clone(&api), require_reader));
    Router::new()
        .merge(readers)
        .route("/api/v1/report", post(report::post))
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .fallback(fallback)
        .method_not_allowed_fallback(async || ProblemResponse::method_not_allowed())
        .layer(middleware::map_response_with_state(
            frame_ancestors.content_security_policy(),
            add_security_headers,
        ))
        .with_state(api)
}

/// Serves `/metrics` and `/healthz`.
#[cfg(feature = "metrics")]
pub(crate) fn metrics_router(metrics: Arc<Metrics>) -> Router {
    let text = async |State(metrics): State<Arc<Metrics>>| match metrics.text() {
        Ok(text) => {
            let kind = "text/plain; version=0.0.4; charset=utf-8";
            ([(header::CONTENT_TYPE, kind)], text).into_response()
        }
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "failed to encode metrics");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    };
    Router::new()
        .route("/metrics", get(text))
        .route("/healthz", get(health::healthz))
        .fallback(async || ProblemResponse::not_found())
        .method_not_allowed_fallback(async || ProblemResponse::method_not_allowed())
        .layer(middleware::map_response_with_state(
            FrameAncestors::default().content_security_policy(),
            add_security_headers,
        ))
        .with_state(metrics)
}

/// Serves the files of the page; any other path is not found.
async fn fallback(State(api): State<Arc<ApiState>>, request: Request) -> Response {
    #[cfg(feature = "ui")]
    if let Some(answer) = serve_page(api.page, &request) {
        return answer;
    }
    #[cfg(not(feature = "ui"))]
    drop(api);
    let path: String = request.uri().path().chars().take(200).collect();
    let problem = ProblemResponse::not_found();
    problem.with_detail(format!("unknown path {path}")).into_response()
}

#[cfg(feature = "ui")]
fn serve_page(page: &crate::ui::Page, request: &Request) -> Option<Response> {
    let file = page.file(request.uri().path())?;
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let problem = ProblemResponse::method_not_allowed().with_header("allow", "GET,HEAD");
        return Some(problem.into_response());
    }
    let original_uri = request.extensions().get::<axum::extract::OriginalUri>();
    if let Some(called) = original_uri
        && file.name == "index.html"
        && let Some(location) = index_redirect(called.path())
    {
        let headers =
            [(header::LOCATION, location), (header::CACHE_CONTROL, "no-cache".to_owned())];
        return Some((StatusCode::TEMPORARY_REDIRECT, headers).into_response());
    }
    Some(file.response(request.method(), request.headers()))
}

/// Returns the redirect target if the page was requested as `/pulltrace`: the browser would resolve
/// its relative asset URLs against the parent. The target names `index.html` because axum's `nest`
/// does not match `/pulltrace/`.
#[cfg(feature = "ui")]
fn index_redirect(path: &str) -> Option<String> {
    let (_, last) = path.rsplit_once('/')?;
    (!last.is_empty() && last != "index.html").then(|| format!("{last}/index.html"))
}

/// Lets a request pass if it may read.
async fn require_reader(
    State(api): State<Arc<ApiState>>,
    request: Request,
    next: Next,
) -> Response {
    let listener = listener_address(&request);
    let allowed = api
        .access
        .check_host(listener, request_host(&request))
        .and_then(|()| api.access.authorize_reader(listener, bearer_token(&request)));
    match allowed {
        Ok(()) => next.run(request).await,
        Err(denied) => ProblemResponse::access_denied(denied).into_response(),
    }
}

/// Checks whether a request may report.
fn authorize_report(api: &ApiState, request: &Request) -> Result<(), AccessDenied> {
    let listener = listener_address(request);
    api.access.check_host(listener, request_host(request))?;
    api.access.authorize_agent(listener, bearer_token(request))
}

fn listener_address(request: &Request) -> Option<std::net::SocketAddr> {
    let connection = request.extensions().get::<Arc<Connection>>();
    connection.map(|link| link.listener())
}

/// The host name the request was sent to. HTTP/2 has it in the request target.
fn request_host(request: &Request) -> Option<&str> {
    let authority = request.uri().authority();
    authority.map(axum::http::uri::Authority::as_str).or_else(|| {
        let host = request.headers().get(HOST);
        host.and_then(|host| host.to_str().ok())
    })
}

/// The bearer token of the request.
fn bearer_token(request: &Request) -> Option<&str> {
    let value = request.headers().get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

async fn add_security_headers(
    State(policy): State<HeaderValue>,
    mut response: Response,
) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    for (name, value) in SECURITY_HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}
