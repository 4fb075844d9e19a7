//! Error responses: `application/problem+json` with a machine-readable reason.

use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use pulltrace_core::wire::v1::Problem;

use crate::access::AccessDenied;
use crate::metrics::RejectReason;

/// An error response.
#[derive(Clone, Debug)]
pub(super) struct ProblemResponse {
    status: StatusCode,
    reason: &'static str,
    title: &'static str,
    detail: Option<String>,
    /// Name, in lower case, and value.
    header: Option<(&'static str, &'static str)>,
}

impl ProblemResponse {
    pub(super) const fn new(status: StatusCode, reason: &'static str, title: &'static str) -> Self {
        Self { status, reason, title, detail: None, header: None }
    }

    /// Adds a description of the error, and advice.
    pub(super) fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// Adds a header; the name must be lower case.
    pub(super) const fn with_header(mut self, name: &'static str, value: &'static str) -> Self {
        self.header = Some((name, value));
        self
    }

    pub(super) const fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", "Not found")
    }

    pub(super) const fn method_not_allowed() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method", "Method not allowed")
    }

    pub(super) const fn invalid_query() -> Self {
        Self::new(StatusCode::BAD_REQUEST, "query", "Invalid query")
    }

    /// The request needs pods, and the server has no source of them. `what` is the subject and verb
    /// of the detail.
    pub(super) fn pods_unavailable(what: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "not_available", "Pods not available")
            .with_detail(format!("{what} not available without Kubernetes"))
    }

    /// The request cannot be served at the moment; the client should retry later.
    pub(super) fn unavailable(reason: &'static str, title: &'static str) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, reason, title).with_header("retry-after", "5")
    }

    pub(super) fn access_denied(reason: AccessDenied) -> Self {
        match reason {
            AccessDenied::InvalidToken => {
                Self::new(StatusCode::UNAUTHORIZED, "unauthorized", "Missing or invalid token")
                    .with_header("www-authenticate", "Bearer realm=\"pulltrace\"")
                    .with_detail("send a valid token in the header `Authorization: Bearer …`")
            }
            AccessDenied::NoTokenConfigured => {
                Self::new(StatusCode::FORBIDDEN, "forbidden", "No token configured")
                    .with_detail("configure a token, or allow unauthenticated access")
            }
            AccessDenied::ForeignHost => {
                Self::new(StatusCode::MISDIRECTED_REQUEST, "host", "Host not allowed")
                    .with_detail("use localhost, a loopback address or one of the allowed hosts")
            }
        }
    }

    pub(super) fn report_rejected(reason: RejectReason) -> Self {
        use StatusCode as S;
        let (status, title) = match reason {
            RejectReason::Unauthorized => return Self::access_denied(AccessDenied::InvalidToken),
            RejectReason::Host => return Self::access_denied(AccessDenied::ForeignHost),
            RejectReason::Busy => {
                return Self::unavailable("busy", "Report queue full");
            }
            RejectReason::Full => {
                return Self::unavailable("full", "Too many nodes");
            }
            RejectReason::Stopping => {
                return Self::unavailable("stopping", "Server is shutting down");
            }
            RejectReason::ContentType => {
                (S::UNSUPPORTED_MEDIA_TYPE, "The content type must be application/json")
            }
            RejectReason::Encoding => {
                (S::UNSUPPORTED_MEDIA_TYPE, "The content encoding must be gzip or none")
            }
            RejectReason::TooLarge => (S::PAYLOAD_TOO_LARGE, "Report too large"),
            RejectReason::Timeout => (S::REQUEST_TIMEOUT, "Report timed out"),
            RejectReason::Broken => (S::BAD_REQUEST, "Incomplete body"),
            RejectReason::Malformed => (S::BAD_REQUEST, "Malformed report"),
            RejectReason::Invalid => (S::BAD_REQUEST, "Invalid report"),
            RejectReason::Conflict => (S::CONFLICT, "Another agent reports for this node"),
        };
        Self::new(status, reason.as_str(), title)
    }
}

impl IntoResponse for ProblemResponse {
    fn into_response(self) -> Response {
        let problem = Problem {
            status: self.status.as_u16(),
            title: self.title.to_owned(),
            detail: self.detail,
            reason: self.reason.to_owned(),
        };
        let body = crate::json::to_string(&problem);
        let mut response = (self.status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some((name, value)) = self.header {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        response
    }
}
