//! `POST /api/v1/report`: reports from agents.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use pulltrace_core::error::error_chain;
use pulltrace_core::wire::check::{self, AnyReport, ReportError};
use pulltrace_core::wire::v1::{AgentReport, ReportAck};

use super::authorize::authorize_report;
use super::body::{self, BodyLimits};
use super::openapi::{Endpoint, Routes, content, response};
use super::problem::ProblemResponse;
use super::state::ApiState;
use crate::access::AccessDenied;
use crate::fleet::ApplyError;
use crate::metrics::RejectReason;
use crate::writer::IntakeError;

pub(super) fn routes() -> Routes {
    let ack = |text| response(text).content("application/json", content::<ReportAck>());
    let endpoint = Endpoint::new("report", "Report the state of a node's pulls")
        .description(
            "The body may be compressed with gzip. Reports of agents of version 0.1, which have no \
             schemaVersion, are accepted with status 200.",
        )
        .json_body::<AgentReport>()
        .response("202", ack("Accepted."))
        .response("200", ack("Accepted from an agent of version 0.1."))
        .or_problem();
    Routes::default().post("/api/v1/report", post, endpoint)
}

async fn post(State(api): State<Arc<ApiState>>, request: Request) -> Response {
    match accept_report(&api, request).await {
        Ok((status, ack)) => {
            api.counters.reports_accepted.add(1);
            (status, Json(ack)).into_response()
        }
        Err((reason, detail)) => {
            api.counters.record_rejection(reason);
            let problem = ProblemResponse::report_rejected(reason);
            if detail.is_empty() {
                problem.into_response()
            } else {
                problem.with_detail(detail).into_response()
            }
        }
    }
}

async fn accept_report(
    api: &ApiState,
    request: Request,
) -> Result<(StatusCode, ReportAck), (RejectReason, String)> {
    authorize_report(api, &request).map_err(|denied| {
        let reason = match denied {
            AccessDenied::ForeignHost => RejectReason::Host,
            AccessDenied::InvalidToken | AccessDenied::NoTokenConfigured => {
                RejectReason::Unauthorized
            }
        };
        (reason, String::new())
    })?;
    let (head, body) = request.into_parts();
    let bounds = BodyLimits {
        max_wire_bytes: api.limits.max_compressed_report_bytes,
        max_plain_bytes: api.limits.max_report_bytes,
        deadline: api.limits.report_deadline,
    };
    let body = body::read_json(&head.headers, body, bounds).await?;
    // Validated on the request's own task, so that the writer only sees valid reports.
    let report = check::parse(&body).map_err(|error| {
        let reason = match error {
            ReportError::Malformed(_) => RejectReason::Malformed,
            _ => RejectReason::Invalid,
        };
        (reason, error_chain(&error))
    })?;
    // Agents of version 0.1 accept only 200 as success.
    let status = match report {
        AnyReport::V1(_) => StatusCode::ACCEPTED,
        _ => StatusCode::OK,
    };
    match api.intake.report(report).await {
        Ok(ack) => Ok((status, ack)),
        Err(error) => {
            let mut detail = error_chain(&error);
            if let Some(help) = error.help() {
                detail = format!("{detail}. {help}");
            }
            Err((reject_reason(&error), detail))
        }
    }
}

const fn reject_reason(error: &IntakeError) -> RejectReason {
    match error {
        IntakeError::Busy => RejectReason::Busy,
        IntakeError::Stopped => RejectReason::Stopping,
        IntakeError::Rejected(ApplyError::Conflict(_)) => RejectReason::Conflict,
        IntakeError::Rejected(ApplyError::TooManyNodes { .. }) => RejectReason::Full,
        IntakeError::Rejected(ApplyError::Invalid(_) | ApplyError::UnsupportedVersion) => {
            RejectReason::Invalid
        }
    }
}
