//! Liveness and readiness endpoints.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::ApiState;

/// Liveness: always `ok`.
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// Readiness: every condition with its reason; 503 if a required one does not hold.
pub(super) async fn readyz(State(api): State<Arc<ApiState>>) -> Response {
    let conditions = api.readiness.conditions();
    let ready = api.readiness.is_ready();
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
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, [(CONTENT_TYPE, "application/json")], body).into_response()
}
