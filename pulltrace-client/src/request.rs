//! One request: its URL, its token, its answer, and the bounds of that.

use std::time::Duration;

use pulltrace_core::wire::v1::Problem;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Response, StatusCode, Url};
use serde::de::DeserializeOwned;

use crate::error::RequestError;
use crate::token::Token;

/// The longest answer: 500 pulls of 1,000 layers would be more, and are not.
const MAX_ANSWER: usize = 64 << 20;

/// The longest problem that is read.
const MAX_PROBLEM: usize = 64 << 10;

/// How servers are asked.
#[derive(Clone)]
pub(crate) struct Http {
    pub(crate) client: reqwest::Client,
    pub(crate) server: Url,
    pub(crate) token: Option<Token>,
    /// For an answer, or the beginning of a stream.
    pub(crate) timeout: Duration,
}

impl Http {
    /// The URL of a path below the server's.
    pub(crate) fn url(&self, path: &[&str], query: &[(&str, String)]) -> Url {
        let mut url = self.server.clone();
        // The URLs of this client are never without a path.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }

    pub(crate) async fn json<T: DeserializeOwned>(&self, url: Url) -> Result<T, RequestError> {
        let whole = async {
            let response = self.open(url, "application/json", None).await?;
            if !is(&response, "application/json") {
                return Err(self.not_ours("it answers other than JSON"));
            }
            self.body(response, MAX_ANSWER).await
        };
        let body = self.in_time(whole).await?;
        serde_json::from_slice(&body).map_err(|source| RequestError::NotUnderstood {
            server: self.server.to_string(),
            source,
        })
    }

    /// A stream of events, from behind this id on.
    pub(crate) async fn stream(
        &self,
        url: Url,
        last_event_id: Option<&str>,
    ) -> Result<Response, RequestError> {
        let opened = self.open(url, "text/event-stream", last_event_id);
        let response = self.in_time(opened).await?;
        if is(&response, "text/event-stream") {
            Ok(response)
        } else {
            Err(self.not_ours("it answers other than a stream of events"))
        }
    }

    /// The next bytes of a stream; `None` at its end.
    pub(crate) async fn chunk(
        &self,
        response: &mut Response,
        silence: Duration,
    ) -> Result<Option<impl AsRef<[u8]> + use<>>, RequestError> {
        match tokio::time::timeout(silence, response.chunk()).await {
            Ok(chunk) => chunk.map_err(|error| self.unreachable(error.without_url().into())),
            Err(_) => Err(self.unreachable("it has been silent for too long".into())),
        }
    }

    async fn open(
        &self,
        url: Url,
        accept: &'static str,
        last_event_id: Option<&str>,
    ) -> Result<Response, RequestError> {
        let mut request = self
            .client
            .get(url)
            .header(ACCEPT, HeaderValue::from_static(accept));
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, token.header().map_err(RequestError::Token)?);
        }
        // One that is no header was never said by a server.
        if let Some(id) = last_event_id.and_then(|id| HeaderValue::from_str(id).ok()) {
            request = request.header(HeaderName::from_static("last-event-id"), id);
        }
        let response = request
            .send()
            .await
            .map_err(|error| self.unreachable(error.without_url().into()))?;
        if response.status() == StatusCode::OK {
            Ok(response)
        } else {
            Err(self.refused(response).await)
        }
    }

    async fn refused(&self, response: Response) -> RequestError {
        let status = response.status().as_u16();
        let retry_after = response.headers().get(RETRY_AFTER);
        let retry_after = retry_after
            .and_then(|value| value.to_str().ok())
            .and_then(|seconds| seconds.parse().ok())
            .map(Duration::from_secs);
        let problem = if is(&response, "application/problem+json") {
            let body = self.body(response, MAX_PROBLEM).await;
            body.ok()
                .and_then(|body| serde_json::from_slice::<Problem>(&body).ok())
        } else {
            None
        };
        RequestError::Refused {
            server: self.server.to_string(),
            status,
            problem,
            retry_after,
        }
    }

    async fn body(&self, mut response: Response, most: usize) -> Result<Vec<u8>, RequestError> {
        let mut body = Vec::new();
        loop {
            let chunk = response.chunk().await;
            match chunk.map_err(|error| self.unreachable(error.without_url().into()))? {
                Some(chunk) if body.len() + chunk.len() > most => {
                    return Err(self.not_ours("its answer is too long"));
                }
                Some(chunk) => body.extend_from_slice(&chunk),
                None => return Ok(body),
            }
        }
    }

    async fn in_time<T>(
        &self,
        work: impl Future<Output = Result<T, RequestError>>,
    ) -> Result<T, RequestError> {
        tokio::time::timeout(self.timeout, work)
            .await
            .unwrap_or_else(|_| Err(self.unreachable("it did not answer in time".into())))
    }

    fn unreachable(&self, source: Box<dyn std::error::Error + Send + Sync>) -> RequestError {
        RequestError::Unreachable {
            server: self.server.to_string(),
            source,
        }
    }

    /// The stream is over: the server stops, or restarts.
    pub(crate) fn ended(&self) -> RequestError {
        self.unreachable("it ended the stream".into())
    }

    pub(crate) fn not_ours(&self, what: &'static str) -> RequestError {
        RequestError::NotOurs {
            server: self.server.to_string(),
            what,
        }
    }
}

fn is(response: &Response, media: &str) -> bool {
    let told = response.headers().get(CONTENT_TYPE);
    let told = told
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let told = told.split(';').next().unwrap_or_default();
    told.trim().eq_ignore_ascii_case(media)
}
