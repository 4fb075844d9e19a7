//! Checks requests against the access rules: listener, host and bearer token.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, HOST};
use axum::http::uri::Authority;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use super::connection::Connection;
use super::problem::ProblemResponse;
use super::state::ApiState;
use crate::access::AccessDenied;

/// Lets a request pass if it may read.
pub(super) async fn require_reader(
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
pub(super) fn authorize_report(api: &ApiState, request: &Request) -> Result<(), AccessDenied> {
    let listener = listener_address(request);
    api.access.check_host(listener, request_host(request))?;
    api.access.authorize_agent(listener, bearer_token(request))
}

fn listener_address(request: &Request) -> Option<SocketAddr> {
    let connection = request.extensions().get::<Arc<Connection>>();
    connection.map(|connection| connection.listener())
}

/// The host name the request was sent to. HTTP/2 has it in the request target.
fn request_host(request: &Request) -> Option<&str> {
    request.uri().authority().map(Authority::as_str).or_else(|| {
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
