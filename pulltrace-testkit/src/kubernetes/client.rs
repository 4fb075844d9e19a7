//! Requests to the API server as one user: JSON in, JSON out.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::manifest;

/// Within this time an API server answers, or it never will.
const ANSWER: Duration = Duration::from_secs(30);

/// A request that did not end well.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The API server could not be asked, or went away.
    #[error("the API server could not be asked")]
    Unreachable(#[source] Box<dyn Error + Send + Sync>),
    /// It said no.
    #[error("{request}: {code} {reason}: {message}")]
    Refused {
        /// What was asked.
        request: String,
        /// The code of HTTP.
        code: u16,
        /// The reason in a word: `Forbidden`, `Expired`.
        reason: String,
        /// Why, in its own words.
        message: String,
    },
    /// It was sent, or answered, what cannot be read.
    #[error("{0}")]
    Unreadable(String),
}

impl ApiError {
    /// The code of HTTP, where it answered.
    #[must_use]
    pub fn code(&self) -> Option<u16> {
        match self {
            Self::Refused { code, .. } => Some(*code),
            Self::Unreachable(_) | Self::Unreadable(_) => None,
        }
    }
}

impl From<reqwest::Error> for ApiError {
    fn from(error: reqwest::Error) -> Self {
        Self::Unreachable(error.into())
    }
}

/// Who asks an API server. Cheap to clone; it outlives restarts.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    url: Arc<str>,
    token: Arc<str>,
}

impl Client {
    /// One that trusts the certificates in this PEM file.
    pub(super) fn new(url: &str, token: &str, ca: &[u8]) -> Result<Self, ApiError> {
        use rustls::pki_types::{CertificateDer, pem::PemObject as _};
        let unreadable =
            |error: &dyn Error| ApiError::Unreadable(format!("its certificate: {error}"));
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
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .no_proxy();
        Ok(Self {
            http: http.build()?,
            url: url.into(),
            token: token.into(),
        })
    }

    /// The same server, asked with another token.
    #[must_use]
    pub fn with_token(&self, token: &str) -> Self {
        Self {
            token: token.into(),
            ..self.clone()
        }
    }

    /// Whether it says that it is ready.
    pub(super) async fn is_ready(&self) -> bool {
        let answer = self.request(reqwest::Method::GET, "/readyz").send().await;
        answer.is_ok_and(|answer| answer.status().is_success())
    }

    /// An object, or a list: `/api/v1/namespaces/a/pods?labelSelector=b`.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn get(&self, path: &str) -> Result<Value, ApiError> {
        self.json(reqwest::Method::GET, path, None).await
    }

    /// Creates an object in the collection at `path`.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn create(&self, path: &str, object: &Value) -> Result<Value, ApiError> {
        let body = ("application/json", object.to_string());
        self.json(reqwest::Method::POST, path, Some(body)).await
    }

    /// Changes an object, by a patch that is merged into it.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn merge(&self, path: &str, patch: &Value) -> Result<Value, ApiError> {
        let body = ("application/merge-patch+json", patch.to_string());
        self.json(reqwest::Method::PATCH, path, Some(body)).await
    }

    /// Deletes an object at once, without a grace period.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn delete(&self, path: &str) -> Result<(), ApiError> {
        self.delete_within(path, 0).await
    }

    /// Deletes an object; a pod that runs has so many seconds to end, and is
    /// there until its kubelet says that it has.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn delete_within(&self, path: &str, seconds: u64) -> Result<(), ApiError> {
        let path = format!("{path}?gracePeriodSeconds={seconds}");
        self.json(reqwest::Method::DELETE, &path, None)
            .await
            .map(drop)
    }

    /// Begins to watch a collection: `/api/v1/pods?resourceVersion=7`.
    ///
    /// # Errors
    /// [`ApiError`]. That a version is too old is not one: the API server says
    /// it by a first event `ERROR`.
    pub async fn watch(&self, path: &str) -> Result<Watch, ApiError> {
        let and = if path.contains('?') { '&' } else { '?' };
        let request = self.request(reqwest::Method::GET, &format!("{path}{and}watch=1"));
        let answer = request.send().await?;
        if answer.status().is_success() {
            return Ok(Watch {
                answer,
                rest: Vec::new(),
            });
        }
        Err(refused(
            format!("watch {path}"),
            answer.status().as_u16(),
            &answer.bytes().await?,
        ))
    }

    /// Applies the objects of a manifest, in their order, as the server side of
    /// `kubectl apply --server-side --validate=strict` does it, and returns the
    /// warnings that came with them.
    ///
    /// # Errors
    /// [`ApiError`]; the objects before the one that failed are applied.
    pub async fn apply(&self, yaml: &str) -> Result<Vec<String>, ApiError> {
        self.apply_with(yaml, "").await
    }

    /// As [`Client::apply`], but nothing is kept.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn apply_dry(&self, yaml: &str) -> Result<Vec<String>, ApiError> {
        self.apply_with(yaml, "&dryRun=All").await
    }

    async fn apply_with(&self, yaml: &str, more: &str) -> Result<Vec<String>, ApiError> {
        let mut warnings = Vec::new();
        for object in manifest::objects(yaml)? {
            let path = object.path(self).await?;
            let path = format!("{path}?fieldManager=test&fieldValidation=Strict&force=true{more}");
            let body = ("application/apply-patch+yaml", object.text.to_owned());
            let (_, said) = self.ask(reqwest::Method::PATCH, &path, Some(body)).await?;
            warnings.extend(said);
        }
        Ok(warnings)
    }

    async fn json(
        &self,
        method: reqwest::Method,
        path: &str,
        body: Option<(&str, String)>,
    ) -> Result<Value, ApiError> {
        self.ask(method, path, body).await.map(|(value, _)| value)
    }

    /// What it answers, and its warnings.
    async fn ask(
        &self,
        method: reqwest::Method,
        path: &str,
        body: Option<(&str, String)>,
    ) -> Result<(Value, Vec<String>), ApiError> {
        let name = format!("{method} {path}");
        let mut request = self.request(method, path).timeout(ANSWER);
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
            return Err(refused(name, status.as_u16(), &body));
        }
        let value = serde_json::from_slice(&body);
        let value = value.map_err(|error| ApiError::Unreadable(format!("{name}: {error}")))?;
        Ok((value, warnings))
    }

    fn request(&self, method: reqwest::Method, path: &str) -> reqwest::RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.url));
        request.bearer_auth(&self.token)
    }
}

fn refused(request: String, code: u16, body: &[u8]) -> ApiError {
    let status: Value = serde_json::from_slice(body).unwrap_or_default();
    let word = |name: &str| status[name].as_str().unwrap_or_default().to_owned();
    ApiError::Refused {
        request,
        code,
        reason: word("reason"),
        message: word("message"),
    }
}

/// What is told of a collection, as it changes.
#[derive(Debug)]
pub struct Watch {
    answer: reqwest::Response,
    rest: Vec<u8>,
}

impl Watch {
    /// The next event, `{"type": "ADDED", "object": {…}}`; `None` where the
    /// stream has ended, however it did.
    pub async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.rest.drain(..=end).collect();
                return serde_json::from_slice(&line).ok();
            }
            let chunk = self.answer.chunk().await.ok()??;
            self.rest.extend_from_slice(&chunk);
        }
    }
}
