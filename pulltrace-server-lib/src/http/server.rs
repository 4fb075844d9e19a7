//! `GET /api/v1/server`: the server and cluster-wide statistics.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::http::HeaderMap;
use axum::response::Response;
use pulltrace_core::wire::v1::ServerStatus;

use super::body;
use super::openapi::{Endpoint, Routes};
use super::problem::ProblemResponse;
use super::query::QueryParams;
use super::state::ApiState;

pub(super) fn routes() -> Routes {
    let summary = "Get the server's status and the download rate of all nodes";
    let endpoint = Endpoint::new("getServer", summary).params(&[]).json::<ServerStatus>();
    Routes::default().get("/api/v1/server", get, endpoint)
}

async fn get(
    State(api): State<Arc<ApiState>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, ProblemResponse> {
    QueryParams::parse(query.as_deref(), &[])?;
    let (epoch, seq) = api.shared.read(|table| (table.epoch().to_owned(), table.seq()));
    let info = &api.info;
    let status = ServerStatus {
        epoch,
        seq,
        now: api.clock.now().at,
        version: info.version.clone(),
        page: page(&api),
        cluster_name: info.cluster_name.as_ref().map(ToString::to_string),
        started_at: info.started_at,
        keeps_ended_seconds: info.history_ttl.as_secs_f64(),
        cluster: api.cluster.status(&api.shared.cluster_health()),
        throughput: api.throughput.status(),
    };
    Ok(body::json_value(&headers, &status))
}

/// The build id of the embedded page, if there is one.
#[cfg(feature = "ui")]
fn page(api: &ApiState) -> Option<String> {
    api.page.build.map(ToOwned::to_owned)
}

#[cfg(not(feature = "ui"))]
const fn page(_: &ApiState) -> Option<String> {
    None
}
