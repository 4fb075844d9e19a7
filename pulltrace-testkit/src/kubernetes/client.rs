//! A JSON client of the API server, acting as one user.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::manifest;

/// The timeout of a request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// A failed request.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The API server could not be reached, or closed the connection.
    #[error("request to the API server failed")]
    Unreachable(#[source] Box<dyn Error + Send + Sync>),
    /// The API server returned an error.
    #[error("{request}: {code} {reason}: {message}")]
    Rejected {
        /// The method and path of the request.
        request: String,
        /// The HTTP status code.
        code: u16,
        /// The machine-readable reason, such as `Forbidden` or `Expired`.
        reason: String,
        /// The API server's message.
        message: String,
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
            Self::Rejected { code, .. } => Some(*code),
            Self::Unreachable(_) | Self::Invalid(_) => None,
        }
    }
}

impl From<reqwest::Error> for ApiError {
    fn from(error: reqwest::Error) -> Self {
        Self::Unreachable(error.into())
    }
}

/// A client with the token of one user. Cheap to clone; it keeps working after restarts of the API
/// server.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    url: Arc<str>,
    token: Arc<str>,
}

impl Client {
    /// Creates a client that trusts the certificates in this PEM file.
    pub(super) fn new(url: &str, token: &str, ca: &[u8]) -> Result<Self, ApiError> {
        use rustls::pki_types::{CertificateDer, pem::PemObject as _};
        let unreadable = |error: &dyn Error| {
            ApiError::Invalid(format!("invalid certificate of the API server: {error}"))
        };
        let mut roots = rustls::RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(ca) {
            let certificate = certificate.map_err(|error| unreadable(&error))?;
            roots.add(certificate).map_err(|error| unreadable(&error))?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| unreadable(&error))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let http = reqwest::Client::builder().tls_backend_preconfigured(tls).no_proxy();
        Ok(Self { http: http.build()?, url: url.into(), token: token.into() })
    }

    /// Returns a client of the same server with another token.
    #[must_use]
    pub fn with_token(&self, token: &str) -> Self {
        Self { token: token.into(), ..self.clone() }
    }

    /// Reports whether `/readyz` succeeds.
    pub(super) async fn is_ready(&self) -> bool {
        let answer = self.request(reqwest::Method::GET, "/readyz").send().await;
        answer.is_ok_and(|answer| answer.status().is_success())
    }

    /// Gets an object or a list: `/api/v1/namespaces/a/pods?labelSelector=b`.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn get(&self, path: &str) -> Result<Value, ApiError> {
        self.send_json(reqwest::Method::GET, path, None).await
    }

    /// Creates an object in the collection at `path`.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn create(&self, path: &str, object: &Value) -> Result<Value, ApiError> {
        let body = ("application/json", object.to_string());
        self.send_json(reqwest::Method::POST, path, Some(body)).await
    }

    /// Applies a JSON merge patch to an object.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn merge_patch(&self, path: &str, patch: &Value) -> Result<Value, ApiError> {
        let body = ("application/merge-patch+json", patch.to_string());
        self.send_json(reqwest::Method::PATCH, path, Some(body)).await
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
        self.send_json(reqwest::Method::DELETE, &path, None).await.map(drop)
    }

    /// Watches a collection: `/api/v1/pods?resourceVersion=7`.
    ///
    /// # Errors
    /// [`ApiError`], but not if the version is too old: the API server reports that as a first
    /// event of type `ERROR`.
    pub async fn watch(&self, path: &str) -> Result<Watch, ApiError> {
        let and = if path.contains('?') { '&' } else { '?' };
        let request = self.request(reqwest::Method::GET, &format!("{path}{and}watch=1"));
        let answer = request.send().await?;
        if answer.status().is_success() {
            return Ok(Watch { response: answer, buffer: Vec::new() });
        }
        Err(rejected(format!("watch {path}"), answer.status().as_u16(), &answer.bytes().await?))
    }

    /// Applies the objects of a manifest in order, like `kubectl apply --server-side
    /// --validate=strict`, and returns the API server's warnings.
    ///
    /// # Errors
    /// [`ApiError`]; objects before the failed one have been applied.
    pub async fn apply(&self, yaml: &str) -> Result<Vec<String>, ApiError> {
        self.apply_with(yaml, "").await
    }

    /// Like [`Client::apply`], as a dry run.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn apply_dry_run(&self, yaml: &str) -> Result<Vec<String>, ApiError> {
        self.apply_with(yaml, "&dryRun=All").await
    }

    async fn apply_with(&self, yaml: &str, more: &str) -> Result<Vec<String>, ApiError> {
        let mut warnings = Vec::new();
        for object in manifest::split_objects(yaml)? {
            let path = object.resource_path(self).await?;
            let path = format!("{path}?fieldManager=test&fieldValidation=Strict&force=true{more}");
            let body = ("application/apply-patch+yaml", object.text.to_owned());
            let (_, said) = self.send(reqwest::Method::PATCH, &path, Some(body)).await?;
            warnings.extend(said);
        }
        Ok(warnings)
    }

    async fn send_json(
        &self,
        method: reqwest::Method,
        path: &str,
        body: Option<(&str, String)>,
    ) -> Result<Value, ApiError> {
        self.send(method, path, body).await.map(|(value, _)| value)
    }

    /// Sends a request and returns the response and its warnings.
    async fn send(
        &self,
        method: reqwest::Method,
        path: &str,
        body: Option<(&str, String)>,
    ) -> Result<(Value, Vec<String>), ApiError> {
        let name = format!("{method} {path}");
        let mut request = self.request(method, path).timeout(REQUEST_TIMEOUT);
        if let Some((kind, body)) = body {
            request = request.header("content-type", kind).body(body);
        }
        let answer = request.send().await?;
        let status = answer.status();
        let warnings = answer.headers().get_all("warning").iter();
        let warnings = warnings.map(|text| text.to_str().unwrap_or("?").to_owned());
        let warnings: Vec<String> = warnings.collect();
        let body = answer.bytes().await?;
        if !status.is_success() {
            return Err(rejected(name, status.as_u16(), &body));
        }
        let value = serde_json::from_slice(&body);
        let value = value.map_err(|error| ApiError::Invalid(format!("{name}: {error}")))?;
        Ok((value, warnings))
    }

    fn request(&self, method: reqwest::Method, path: &str) -> reqwest::RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.url));
        request.bearer_auth(&self.token)
    }
}

fn rejected(request: String, code: u16, body: &[u8]) -> ApiError {
    let status: Value = serde_json::from_slice(body).unwrap_or_default();
    let word = |name: &str| status[name].as_str().unwrap_or_default().to_owned();
    ApiError::Rejected { request, code, reason: word("reason"), message: word("message") }
}

/// A running watch of a collection.
#[derive(Debug)]
pub struct Watch {
    response: reqwest::Response,
    buffer: Vec<u8>,
}

impl Watch {
    /// Returns the next event, `{"type": "ADDED", "object": {…}}`, or `None` when the stream has
    /// ended or failed.
    pub async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                return serde_json::from_slice(&line).ok();
            }
            let chunk = self.response.chunk().await.ok()??;
            self.buffer.extend_from_slice(&chunk);
        }
    }
}
