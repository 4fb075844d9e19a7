//! Requests to the API server as one user, by path: tests also check paths that a user may not use,
//! and objects that no type describes.

use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::time::Duration;

use futures_util::{AsyncBufReadExt as _, Stream, StreamExt as _};
use hyper::header::{ACCEPT_ENCODING, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request};
use kube::core::Status;
use pulltrace_core::error::error_chain;
use serde_json::Value;

/// The timeout of a request. kube has none, since a watch may be silent for long.
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// A failed request.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The API server could not be reached, or closed the connection.
    #[error("request to the API server failed")]
    Unreachable(#[source] Box<dyn Error + Send + Sync>),
    /// The API server returned an error.
    #[error("{request}: {} {status}", status.code)]
    Rejected {
        /// The method and path of the request.
        request: String,
        /// The response, with a machine-readable reason such as `Forbidden` or `Expired`.
        status: Box<Status>,
    },
    /// The request or the response is malformed.
    #[error("{0}")]
    Invalid(String),
}

impl ApiError {
    /// The HTTP status code, if there was a response.
    #[must_use]
    pub fn code(&self) -> Option<u16> {
        match self {
            Self::Rejected { status, .. } => Some(status.code),
            Self::Unreachable(_) | Self::Invalid(_) => None,
        }
    }

    pub(super) fn from_kube(request: &str, error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => Self::Rejected { request: request.to_owned(), status },
            error @ (kube::Error::SerdeError(_)
            | kube::Error::Discovery(_)
            | kube::Error::BuildRequest(_)) => {
                Self::Invalid(format!("{request}: {}", error_chain(&error)))
            }
            error => Self::Unreachable(error.into()),
        }
    }
}

/// A client with the token of one user. Cheap to clone; it keeps working after restarts of the API
/// server, and until the runtime ends in which it was created.
#[derive(Clone)]
pub struct Client {
    pub(super) kube: kube::Client,
    config: kube::Config,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("url", &self.config.cluster_url).finish_non_exhaustive()
    }
}

impl Client {
    pub(super) fn new(config: kube::Config) -> Result<Self, ApiError> {
        // With several providers compiled in, rustls panics unless a default was installed. Fails if
        // there is one already, which is fine.
        drop(rustls::crypto::ring::default_provider().install_default());
        let kube = kube::Client::try_from(config.clone());
        let kube = kube.map_err(|error| ApiError::from_kube("connect", error))?;
        Ok(Self { kube, config })
    }

    /// Creates a client of the same server with another token.
    ///
    /// # Errors
    /// [`ApiError`] when the TLS configuration is invalid.
    pub fn with_token(&self, token: &str) -> Result<Self, ApiError> {
        let mut config = self.config.clone();
        config.auth_info.token = Some(token.to_owned().into());
        Self::new(config)
    }

    /// Reports whether `/readyz` succeeds.
    pub(super) async fn is_ready(&self) -> bool {
        match request(Method::GET, "/readyz", None) {
            Ok(request) => self.kube.request_text(request).await.is_ok(),
            Err(_) => false,
        }
    }

    /// Gets an object or a list: `/api/v1/namespaces/a/pods?labelSelector=b`.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn get(&self, path: &str) -> Result<Value, ApiError> {
        self.send(Method::GET, path, None).await
    }

    /// Creates an object in the collection at `path`.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn create(&self, path: &str, object: &Value) -> Result<Value, ApiError> {
        let body = ("application/json", object.to_string());
        self.send(Method::POST, path, Some(body)).await
    }

    /// Applies a JSON merge patch to an object.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn merge_patch(&self, path: &str, patch: &Value) -> Result<Value, ApiError> {
        let body = ("application/merge-patch+json", patch.to_string());
        self.send(Method::PATCH, path, Some(body)).await
    }

    /// Deletes an object immediately, without a grace period.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn delete(&self, path: &str) -> Result<(), ApiError> {
        self.delete_with_grace(path, 0).await
    }

    /// Deletes an object with a grace period. A running pod exists until its kubelet reports that
    /// it has terminated.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn delete_with_grace(&self, path: &str, seconds: u64) -> Result<(), ApiError> {
        let path = format!("{path}?gracePeriodSeconds={seconds}");
        self.send(Method::DELETE, &path, None).await.map(drop)
    }

    /// Watches a collection: `/api/v1/pods?resourceVersion=7`.
    ///
    /// # Errors
    /// [`ApiError`], but not if the version is too old: the API server reports that as a first
    /// event of type `ERROR`.
    pub async fn watch(&self, path: &str) -> Result<Watch, ApiError> {
        let and = if path.contains('?') { '&' } else { '?' };
        let mut request = request(Method::GET, &format!("{path}{and}watch=1"), None)?;
        // Kubernetes 1.37 would compress each line separately.
        request.headers_mut().insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        let stream = self.kube.request_stream(request).await;
        let stream =
            stream.map_err(|error| ApiError::from_kube(&format!("watch {path}"), error))?;
        Ok(Watch { lines: Box::pin(stream.lines()) })
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<(&str, String)>,
    ) -> Result<Value, ApiError> {
        let name = format!("{method} {path}");
        let sent = self.kube.request(request(method, path, body)?);
        let sent = tokio::time::timeout(REQUEST_TIMEOUT, sent).await;
        let sent = sent.map_err(|error| ApiError::Unreachable(error.into()))?;
        sent.map_err(|error| ApiError::from_kube(&name, error))
    }
}

fn request(
    method: Method,
    path: &str,
    body: Option<(&str, String)>,
) -> Result<Request<Vec<u8>>, ApiError> {
    let (content_type, body) = body.unwrap_or(("application/json", String::new()));
    let request = Request::builder().method(method).uri(path).header(CONTENT_TYPE, content_type);
    let request = request.body(body.into_bytes());
    request.map_err(|error| ApiError::Invalid(format!("{path}: {error}")))
}

/// A running watch of a collection.
pub struct Watch {
    lines: Pin<Box<dyn Stream<Item = std::io::Result<String>> + Send>>,
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").finish_non_exhaustive()
    }
}

impl Watch {
    /// Returns the next event, `{"type": "ADDED", "object": {…}}`, or `None` when the stream has
    /// ended or failed.
    pub async fn next(&mut self) -> Option<Value> {
        serde_json::from_str(&self.lines.next().await?.ok()?).ok()
    }
}
