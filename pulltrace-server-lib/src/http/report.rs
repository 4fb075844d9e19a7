//! `POST /api/v1/report`: what an agent tells.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use pulltrace_core::wire::check::{self, AnyReport, ReportError};
use pulltrace_core::wire::v1::ReportAck;

use super::body::{self, Bounds};
use super::problem::Refusal;
use super::{Api, may_report};
use crate::access::Denied;
use crate::fleet;
use crate::metrics::Rejected;
use crate::writer::IntakeError;

pub(super) async fn post(State(api): State<Arc<Api>>, request: Request) -> Response {
    match take(&api, request).await {
        Ok((status, ack)) => {
            api.stats.reports.add(1);
            (status, Json(ack)).into_response()
        }
        Err((why, detail)) => {
            api.stats.reject(why);
            let refusal = Refusal::report(why);
            if detail.is_empty() {
                refusal.into_response()
            } else {
                refusal.detail(detail).into_response()
            }
        }
    }
}

async fn take(api: &Api, request: Request) -> Result<(StatusCode, ReportAck), (Rejected, String)> {
    may_report(api, &request).map_err(|denied| {
        let why = match denied {
            Denied::Host => Rejected::Host,
            Denied::Token | Denied::Closed => Rejected::Unauthorized,
        };
        (why, String::new())
    })?;
    let (head, body) = request.into_parts();
    let bounds = Bounds {
        wire: api.limits.report_packed,
        plain: api.limits.report,
        deadline: api.limits.report_deadline,
    };
    let body = body::read(&head.headers, body, bounds).await?;
    // Here, on the request's own task: the writer only ever sees what was checked.
    let report = check::parse(&body).map_err(|error| {
        let why = match error {
            ReportError::Malformed(_) => Rejected::Malformed,
            _ => Rejected::Invalid,
        };
        (why, chain(&error))
    })?;
    // An agent of version 0.1 takes nothing but 200 for success.
    let status = match report {
        AnyReport::V1(_) => StatusCode::ACCEPTED,
        _ => StatusCode::OK,
    };
    match api.intake.report(report).await {
        Ok(ack) => Ok((status, ack)),
        Err(error) => Err((rejected(&error), chain(&error))),
    }
}

const fn rejected(error: &IntakeError) -> Rejected {
    match error {
        IntakeError::Busy => Rejected::Busy,
        IntakeError::Stopped => Rejected::Stopping,
        IntakeError::Refused(fleet::Refusal::Conflict(_)) => Rejected::Conflict,
        IntakeError::Refused(fleet::Refusal::TooManyNodes { .. }) => Rejected::Full,
        IntakeError::Refused(fleet::Refusal::Invalid(_) | fleet::Refusal::Version) => {
            Rejected::Invalid
        }
    }
}

/// An error and all that led to it.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text += &format!(": {cause}");
        source = cause.source();
    }
    text
}
