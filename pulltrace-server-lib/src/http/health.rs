//! Liveness and readiness endpoints.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde_json::json;
use utoipa::openapi::schema::Type;
use utoipa::openapi::{Content, ObjectBuilder};

use super::openapi::{Endpoint, Routes, response};
use super::state::ApiState;

pub(super) fn routes() -> Routes {
    let text = Content::new(Some(ObjectBuilder::new().schema_type(Type::String)));
    let running = response("The server is running.").content("text/plain", text);
    let not_ready = response("The server is not ready; the body contains the reason.");
    Routes::default()
        .get(
            "/healthz",
            healthz,
            Endpoint::new("healthz", "Liveness check").response("200", running),
        )
        .get(
            "/readyz",
            readyz,
            Endpoint::new("readyz", "Readiness check")
                .response("200", response("The server is ready."))
                .response("503", not_ready),
        )
}

/// Liveness: always `ok`.
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// Readiness: every condition with its reason; 503 if a required one does not hold.
async fn readyz(State(api): State<Arc<ApiState>>) -> Response {
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
