//! Whether the server lives, and whether it can do its work.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::Api;

/// It lives: it answers.
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// Each condition with its reason; 503 where a required one does not hold.
pub(super) async fn readyz(State(api): State<Arc<Api>>) -> Response {
    let conditions = api.ready.conditions();
    let ready = api.ready.is_ready();
    let listed: Vec<_> = conditions
        .iter()
        .map(|(name, condition)| {
            json!({
                "name": name,
                "holds": condition.holds,
                "required": condition.required,
                "reason": condition.reason,
            })
        })
        .collect();
    let body = json!({ "ready": ready, "conditions": listed }).to_string();
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, [(CONTENT_TYPE, "application/json")], body).into_response()
}
