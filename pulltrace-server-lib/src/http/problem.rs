//! Answers that say no: `application/problem+json`, with one word for programs.

use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use pulltrace_core::wire::v1::Problem;

use crate::access::Denied;
use crate::metrics::Rejected;

/// Why a request is refused.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    reason: &'static str,
    title: &'static str,
    detail: Option<String>,
    /// Its name, in small letters, and its value.
    header: Option<(&'static str, &'static str)>,
}

impl Refusal {
    pub(super) const fn new(status: StatusCode, reason: &'static str, title: &'static str) -> Self {
        Self {
            status,
            reason,
            title,
            detail: None,
            header: None,
        }
    }

    /// What is wrong with this one, and what to do.
    pub(super) fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// With a header of this name, in small letters.
    pub(super) const fn header(mut self, name: &'static str, value: &'static str) -> Self {
        self.header = Some((name, value));
        self
    }

    pub(super) const fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", "There is nothing here")
    }

    pub(super) const fn method() -> Self {
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method",
            "This cannot be done here",
        )
    }

    pub(super) const fn query() -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "query",
            "The query is not understood",
        )
    }

    /// What needs pods, where the server was given no source of them. `what`, with its verb.
    pub(super) fn no_pods(what: &str) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "not_available",
            "This server does not know pods",
        )
        .detail(format!("{what} not available without Kubernetes"))
    }

    /// For a while there is no room.
    pub(super) fn full(reason: &'static str, title: &'static str) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, reason, title).header("retry-after", "5")
    }

    pub(super) fn denied(why: Denied) -> Self {
        match why {
            Denied::Token => Self::new(
                StatusCode::UNAUTHORIZED,
                "unauthorized",
                "A token is needed that this server knows",
            )
            .header("www-authenticate", "Bearer realm=\"pulltrace\"")
            .detail("send it as the header `Authorization: Bearer …`"),
            Denied::Closed => Self::new(
                StatusCode::FORBIDDEN,
                "forbidden",
                "This server serves nobody here",
            )
            .detail("it has no token that could be brought; give it one, or let it be open"),
            Denied::Host => Self::new(
                StatusCode::MISDIRECTED_REQUEST,
                "host",
                "The request is for another host",
            )
            .detail("call this server by an address or by one of its allowed hosts"),
        }
    }

    pub(super) fn report(why: Rejected) -> Self {
        use StatusCode as S;
        let (status, title) = match why {
            Rejected::Unauthorized => return Self::denied(Denied::Token),
            Rejected::Host => return Self::denied(Denied::Host),
            Rejected::Busy => {
                return Self::full("busy", "More reports wait than can be taken");
            }
            Rejected::Full => {
                return Self::full("full", "There are as many nodes as there may be");
            }
            Rejected::Stopping => return Self::full("stopping", "The server is about to stop"),
            Rejected::ContentType => (
                S::UNSUPPORTED_MEDIA_TYPE,
                "The content type must be application/json",
            ),
            Rejected::Encoding => (
                S::UNSUPPORTED_MEDIA_TYPE,
                "The content encoding must be gzip or none",
            ),
            Rejected::TooLarge => (S::PAYLOAD_TOO_LARGE, "The report is too large"),
            Rejected::Timeout => (S::REQUEST_TIMEOUT, "The report did not come in time"),
            Rejected::Broken => (S::BAD_REQUEST, "The body is not whole"),
            Rejected::Malformed => (S::BAD_REQUEST, "The body is no report"),
            Rejected::Invalid => (S::BAD_REQUEST, "The report cannot be true"),
            Rejected::Conflict => (S::CONFLICT, "Another agent reports for this node"),
        };
        Self::new(status, why.as_str(), title)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let problem = Problem {
            status: self.status.as_u16(),
            title: self.title.to_owned(),
            detail: self.detail,
            reason: self.reason.to_owned(),
        };
        let body = crate::json::text(&problem);
        let mut response = (self.status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if let Some((name, value)) = self.header {
            headers.insert(
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            );
        }
        response
    }
}
