//! Requests: URL, token, response, and limits.

use std::time::Duration;

use pulltrace_core::wire::v1::Problem;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Response, StatusCode, Url};
use serde::de::DeserializeOwned;

use crate::error::RequestError;
use crate::token::Token;

/// The maximum length of a response. 500 pulls of 1,000 layers each would exceed it, but do not
/// occur.
const MAX_BODY: usize = 64 << 20;

/// The maximum length of a problem document.
const MAX_PROBLEM: usize = 64 << 10;

/// The HTTP client of one server.
#[derive(Clone)]
pub(crate) struct HttpClient {
    pub(crate) client: reqwest::Client,
    pub(crate) server: Url,
    pub(crate) token: Option<Token>,
    /// The timeout of a response, or of opening a stream.
    pub(crate) timeout: Duration,
}

impl HttpClient {
    /// Returns the URL of a path below the server's URL.
    pub(crate) fn url(&self, path: &[&str], query: &[(&str, String)]) -> Url {
        let mut url = self.server.clone();
        // HTTP URLs always have a path.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }

    pub(crate) async fn get_json<T: DeserializeOwned>(&self, url: Url) -> Result<T, RequestError> {
        let whole = async {
            let response = self.send(url, "application/json", None).await?;
            if !has_media_type(&response, "application/json") {
                return Err(self.not_pulltrace("the response is not JSON"));
            }
            self.read_body(response, MAX_BODY).await
        };
        let body = self.with_timeout(whole).await?;
        serde_json::from_slice(&body).map_err(|source| RequestError::InvalidResponse {
            server: self.server.to_string(),
            source,
        })
    }

    /// Opens an event stream that resumes after this id.
    pub(crate) async fn open_stream(
        &self,
        url: Url,
        last_event_id: Option<&str>,
    ) -> Result<Response, RequestError> {
        let opened = self.send(url, "text/event-stream", last_event_id);
        let response = self.with_timeout(opened).await?;
        if has_media_type(&response, "text/event-stream") {
            Ok(response)
        } else {
            Err(self.not_pulltrace("the response is not an event stream"))
        }
    }

    /// Returns the next bytes of a stream; `None` at its end.
    pub(crate) async fn next_chunk(
        &self,
        response: &mut Response,
        idle_timeout: Duration,
    ) -> Result<Option<impl AsRef<[u8]> + use<>>, RequestError> {
        match tokio::time::timeout(idle_timeout, response.chunk()).await {
            Ok(chunk) => chunk.map_err(|error| self.unreachable(error.without_url().into())),
            Err(_) => Err(self.unreachable("no data within the idle timeout".into())),
        }
    }

    async fn send(
        &self,
        url: Url,
        accept: &'static str,
        last_event_id: Option<&str>,
    ) -> Result<Response, RequestError> {
        let mut request = self.client.get(url).header(ACCEPT, HeaderValue::from_static(accept));
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, token.header().map_err(RequestError::Token)?);
        }
        // A value that is not a valid header was not sent by a server.
        if let Some(id) = last_event_id.and_then(|id| HeaderValue::from_str(id).ok()) {
            request = request.header(HeaderName::from_static("last-event-id"), id);
        }
        let response =
            request.send().await.map_err(|error| self.unreachable(error.without_url().into()))?;
        if response.status() == StatusCode::OK {
            Ok(response)
        } else {
            Err(self.rejection(response).await)
        }
    }

    async fn rejection(&self, response: Response) -> RequestError {
        let status = response.status().as_u16();
        let retry_after = response.headers().get(RETRY_AFTER);
        let retry_after = retry_after
            .and_then(|value| value.to_str().ok())
            .and_then(|seconds| seconds.parse().ok())
            .map(Duration::from_secs);
        let problem = if has_media_type(&response, "application/problem+json") {
            let body = self.read_body(response, MAX_PROBLEM).await;
            body.ok().and_then(|body| serde_json::from_slice::<Problem>(&body).ok())
        } else {
            None
        };
        RequestError::Rejected { server: self.server.to_string(), status, problem, retry_after }
    }

    async fn read_body(
        &self,
        mut response: Response,
        limit: usize,
    ) -> Result<Vec<u8>, RequestError> {
        let mut body = Vec::new();
        loop {
            let chunk = response.chunk().await;
            match chunk.map_err(|error| self.unreachable(error.without_url().into()))? {
                Some(chunk) if body.len() + chunk.len() > limit => {
                    return Err(self.not_pulltrace("the response is too long"));
                }
                Some(chunk) => body.extend_from_slice(&chunk),
                None => return Ok(body),
            }
        }
    }

    async fn with_timeout<T>(
        &self,
        work: impl Future<Output = Result<T, RequestError>>,
    ) -> Result<T, RequestError> {
        tokio::time::timeout(self.timeout, work)
            .await
            .unwrap_or_else(|_| Err(self.unreachable("the request timed out".into())))
    }

    fn unreachable(&self, source: Box<dyn std::error::Error + Send + Sync>) -> RequestError {
        RequestError::Unreachable { server: self.server.to_string(), source }
    }

    /// The error for a stream that ended because the server stops or restarts.
    pub(crate) fn stream_ended(&self) -> RequestError {
        self.unreachable("the server closed the stream".into())
    }

    pub(crate) fn not_pulltrace(&self, what: &'static str) -> RequestError {
        RequestError::NotPulltrace { server: self.server.to_string(), what }
    }
}

fn has_media_type(response: &Response, media: &str) -> bool {
    let content_type = response.headers().get(CONTENT_TYPE);
    let content_type = content_type.and_then(|value| value.to_str().ok()).unwrap_or_default();
    let content_type = content_type.split(';').next().unwrap_or_default();
    content_type.trim().eq_ignore_ascii_case(media)
}
