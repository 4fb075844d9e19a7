//! The API over HTTP: who is let in, which path is whose, and what each answer carries.

mod body;
pub(crate) mod coding;
mod events;
mod frame;
mod health;
mod link;
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

use crate::access::{Access, Denied};
use crate::clock::Clock;
use crate::hear::Cluster;
#[cfg(feature = "metrics")]
use crate::metrics::Metrics;
use crate::metrics::Stats;
use crate::ready::Ready;
use crate::table::Shared;
use crate::throughput::Throughput;
use crate::writer::Intake;
pub use frame::{FrameAncestors, FrameAncestorsError};
pub(crate) use link::Link;
use problem::Refusal;
pub(crate) use server::About;
pub use server::{ClusterName, ClusterNameError};

/// The bounds of what is read and served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HttpLimits {
    /// Bytes of a report as gzip packed it. Default 256 KiB.
    pub report_packed: usize,
    /// Bytes of a report unpacked. Default 1 MiB.
    pub report: usize,
    /// From the head of a report to the end of its body. Default 10 s.
    pub report_deadline: Duration,
    /// Readers of the stream at once; a further one is refused with 503 and counted. Default 10,000.
    pub readers: usize,
    /// Readers of the stream for whom it is packed, which takes some hundred KiB each; a further one is sent
    /// the same as it is, and counted. Default 200.
    pub packed_readers: usize,
    /// Over HTTP/2, where readers share a connection: how long one may take nothing of what is there
    /// for it; then its connection is closed. Default 30 s. Over HTTP/1 it is
    /// [`ServeLimits::write`](crate::ServeLimits::write).
    pub reader_idle: Duration,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            report_packed: 256 * 1024,
            report: 1024 * 1024,
            report_deadline: Duration::from_secs(10),
            readers: 10_000,
            packed_readers: 200,
            reader_idle: Duration::from_secs(30),
        }
    }
}

/// What all requests share.
#[derive(Debug)]
pub(crate) struct Api {
    pub(crate) about: About,
    pub(crate) shared: Shared,
    pub(crate) intake: Intake,
    pub(crate) access: Access,
    pub(crate) ready: Ready,
    pub(crate) cluster: Cluster,
    pub(crate) throughput: Throughput,
    pub(crate) stats: Arc<Stats>,
    pub(crate) clock: Clock,
    pub(crate) limits: HttpLimits,
    /// One for each reader that may come.
    pub(crate) places: Arc<Semaphore>,
    /// One for each of them for whom the stream may be packed.
    pub(crate) packers: Arc<Semaphore>,
    pub(crate) stopping: watch::Receiver<bool>,
    #[cfg(feature = "ui")]
    pub(crate) page: &'static crate::ui::Page,
}

/// What a page of this server never asks for. It copies to the clipboard, and that is all.
const PERMISSIONS: &str = "accelerometer=(), autoplay=(), camera=(), clipboard-read=(), \
    display-capture=(), encrypted-media=(), fullscreen=(), gamepad=(), geolocation=(), gyroscope=(), hid=(), \
    idle-detection=(), local-fonts=(), magnetometer=(), microphone=(), midi=(), payment=(), \
    picture-in-picture=(), publickey-credentials-create=(), publickey-credentials-get=(), \
    screen-wake-lock=(), serial=(), storage-access=(), usb=(), xr-spatial-tracking=()";

/// What each response carries beside the policy. No `X-Frame-Options`: it could not name who may show the
/// page, and every browser that runs the page goes by the policy.
const HEADERS: [(HeaderName, &str); 5] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    ),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
    (HeaderName::from_static("permissions-policy"), PERMISSIONS),
];

pub(crate) fn router(api: Arc<Api>, frame_ancestors: &FrameAncestors) -> Router {
    let readers = Router::new()
        .route("/api/v1/pulls", get(lists::pulls))
        .route("/api/v1/pulls/{id}", get(lists::pull))
        .route("/api/v1/nodes", get(lists::nodes))
        .route("/api/v1/images", get(lists::images))
        .route("/api/v1/pods", get(pods::list))
        .route(
            "/api/v1/namespaces/{namespace}/pods/{pod}/pulls",
            get(pods::pulls),
        )
        .route("/api/v1/events", get(events::get))
        .route("/api/v1/server", get(server::get))
        .route("/api/v1/openapi.json", get(lists::openapi))
        .route_layer(middleware::from_fn_with_state(Arc::clone(&api), may_read));
    Router::new()
        .merge(readers)
        .route("/api/v1/report", post(report::post))
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .fallback(elsewhere)
        .method_not_allowed_fallback(async || Refusal::method())
        .layer(middleware::map_response_with_state(
            frame_ancestors.policy(),
            with_headers,
        ))
        .with_state(api)
}

/// `/metrics` and `/healthz`.
#[cfg(feature = "metrics")]
pub(crate) fn metrics_router(metrics: Arc<Metrics>) -> Router {
    let text = async |State(metrics): State<Arc<Metrics>>| match metrics.text() {
        Ok(text) => {
            let kind = "text/plain; version=0.0.4; charset=utf-8";
            ([(header::CONTENT_TYPE, kind)], text).into_response()
        }
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "no metrics");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    };
    Router::new()
        .route("/metrics", get(text))
        .route("/healthz", get(health::healthz))
        .fallback(async || Refusal::not_found())
        .method_not_allowed_fallback(async || Refusal::method())
        .layer(middleware::map_response_with_state(
            FrameAncestors::default().policy(),
            with_headers,
        ))
        .with_state(metrics)
}

/// A file of the page, where there is one; everything else is nowhere.
async fn elsewhere(State(api): State<Arc<Api>>, request: Request) -> Response {
    #[cfg(feature = "ui")]
    if let Some(answer) = page(api.page, &request) {
        return answer;
    }
    #[cfg(not(feature = "ui"))]
    drop(api);
    let path: String = request.uri().path().chars().take(200).collect();
    let refusal = Refusal::not_found();
    refusal
        .detail(format!("{path} is no path of this server"))
        .into_response()
}

#[cfg(feature = "ui")]
fn page(page: &crate::ui::Page, request: &Request) -> Option<Response> {
    let file = page.file(request.uri().path())?;
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let refusal = Refusal::method().header("allow", "GET,HEAD");
        return Some(refusal.into_response());
    }
    let called = request.extensions().get::<axum::extract::OriginalUri>();
    if let Some(called) = called
        && file.name == "index.html"
        && let Some(folder) = folder(called.path())
    {
        let headers = [
            (header::LOCATION, folder),
            (header::CACHE_CONTROL, "no-cache".to_owned()),
        ];
        return Some((StatusCode::TEMPORARY_REDIRECT, headers).into_response());
    }
    Some(file.answer(request.method(), request.headers()))
}

/// Where the page is instead, from there, if it was called as `/pulltrace`: its assets, which it names
/// without a path, would be looked for beside it. With a name, since axum's `nest` would not find `/pulltrace/`.
#[cfg(feature = "ui")]
fn folder(called: &str) -> Option<String> {
    let (_, last) = called.rsplit_once('/')?;
    (!last.is_empty() && last != "index.html").then(|| format!("{last}/index.html"))
}

/// Lets in who may read.
async fn may_read(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    let listener = listener(&request);
    let allowed = api
        .access
        .host(listener, host(&request))
        .and_then(|()| api.access.reader(listener, bearer(&request)));
    match allowed {
        Ok(()) => next.run(request).await,
        Err(denied) => Refusal::denied(denied).into_response(),
    }
}

/// Whether somebody may report.
fn may_report(api: &Api, request: &Request) -> Result<(), Denied> {
    let listener = listener(request);
    api.access.host(listener, host(request))?;
    api.access.agent(listener, bearer(request))
}

fn listener(request: &Request) -> Option<std::net::SocketAddr> {
    let link = request.extensions().get::<Arc<Link>>();
    link.map(|link| link.listener())
}

/// The name by which the server is called: HTTP/2 has it in the target.
fn host(request: &Request) -> Option<&str> {
    let authority = request.uri().authority();
    authority
        .map(axum::http::uri::Authority::as_str)
        .or_else(|| {
            let host = request.headers().get(HOST);
            host.and_then(|host| host.to_str().ok())
        })
}

/// The token that a request brings.
fn bearer(request: &Request) -> Option<&str> {
    let value = request.headers().get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then_some(token.trim())
}

async fn with_headers(State(policy): State<HeaderValue>, mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}
