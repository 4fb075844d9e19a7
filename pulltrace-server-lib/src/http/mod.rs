//! The HTTP API: routes, authorization and response headers.

mod authorize;
mod body;
mod cluster_name;
pub(crate) mod coding;
mod connection;
mod events;
mod frame_ancestors;
mod health;
mod lists;
mod openapi;
mod pods;
mod problem;
mod query;
mod report;
mod server;
mod state;
mod stream;

use std::sync::{Arc, LazyLock};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Request, State};
#[cfg(feature = "ui")]
use axum::http::Method;
#[cfg(any(feature = "metrics", feature = "ui"))]
use axum::http::StatusCode;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::middleware;
use axum::response::{IntoResponse, Response};
#[cfg(feature = "metrics")]
use axum::routing::get;
use utoipa::openapi::schema::Type;
use utoipa::openapi::{Content, ObjectBuilder};

use self::authorize::require_reader;
use self::openapi::{Endpoint, Routes, response};
use self::problem::ProblemResponse;
#[cfg(feature = "metrics")]
use crate::metrics::Metrics;
pub use cluster_name::{ClusterName, ClusterNameError};
pub(crate) use connection::Connection;
pub use frame_ancestors::{FrameAncestors, FrameAncestorsError};
pub use state::HttpLimits;
pub(crate) use state::{ApiState, ServerInfo};

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

/// The routes of readers.
fn reader_routes() -> Routes {
    let document = response("This document.").content(
        "application/json",
        Content::new(Some(ObjectBuilder::new().schema_type(Type::Object))),
    );
    Routes::default()
        .merge(lists::routes())
        .merge(pods::routes())
        .merge(events::routes())
        .merge(server::routes())
        .get(
            "/api/v1/openapi.json",
            get_openapi,
            Endpoint::new("openapi", "Get this document").response("200", document),
        )
}

/// The routes with rules of their own, or without any.
fn other_routes() -> Routes {
    report::routes().merge(health::routes())
}

/// Returns the OpenAPI 3.1 document of the API, which is also served at `GET
/// /api/v1/openapi.json`, as JSON.
#[must_use]
pub fn openapi_document() -> String {
    reader_routes().merge(other_routes()).document()
}

async fn get_openapi(headers: HeaderMap) -> Response {
    static DOCUMENT: LazyLock<Bytes> = LazyLock::new(|| openapi_document().into());
    body::json_stream(&headers, futures_util::stream::iter([DOCUMENT.clone()]))
}

pub(crate) fn router(api: Arc<ApiState>, frame_ancestors: &FrameAncestors) -> Router {
    let require_reader = middleware::from_fn_with_state(Arc::clone(&api), require_reader);
    Router::new()
        .merge(reader_routes().router.route_layer(require_reader))
        .merge(other_routes().router)
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
