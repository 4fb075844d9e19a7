//! Reports to a pulltrace server: `POST /api/v1/report`, wire version 1, as JSON.

mod body;
mod error;
mod tls;
mod token;

use std::fmt;
use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use pulltrace_core::Namespace;
use pulltrace_core::wire::v1;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use reqwest::{RequestBuilder, Response, Url};

pub use self::body::MAX_BODY;
use self::body::{Identity, SentImages};
use self::error::{Detail, TIMEOUT};
pub use self::error::{HttpError, HttpErrorKind, HttpSetupError, TokenError};
use self::token::Token;
use super::{Ack, Report, ReportSink, SinkError};
use crate::clock::Clock;

/// Timeout of the connection; part of `TIMEOUT`.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The largest response that is read.
const MAX_RESPONSE: usize = 64 << 10;

/// Smaller bodies are not compressed.
const MIN_COMPRESS_SIZE: usize = 1 << 10;

/// A sink that reports to a pulltrace server.
///
/// - The constant details of an image are sent once per server epoch, and count as sent when a
///   report with them was acknowledged.
/// - A report of more than [`MAX_BODY`] bytes is split into several requests without loss, live
///   pulls first. A pull that is too large on its own is sent without its image and counted as the
///   anomaly `image_left_out`.
/// - A token file is read before each report, so the token can be rotated at any time. If the file
///   cannot be read, the previous token stays in use.
/// - A request times out after 10 s. Redirects are not followed and proxy variables are ignored, so
///   that the token is sent to the server only.
/// - Errors are [`SinkError::Unavailable`] with an [`HttpError`] as the source. This sink never
///   closes.
///
/// ```no_run
/// # #[cfg(feature = "containerd")] {
/// use pulltrace_agent_lib::source::containerd::Containerd;
/// use pulltrace_agent_lib::{Collector, Settings, sink::HttpSink};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let sink = HttpSink::builder("https://pulltrace.example")
///     .token_file("/var/run/secrets/pulltrace/token")
///     .build()?;
/// let node: pulltrace_core::NodeName = "worker-1".parse()?;
/// let source = Containerd::builder(node.clone()).start();
/// let collector = Collector::new(source, sink, Settings::new(node))?;
/// collector.run(std::future::pending()).await?;
/// # Ok(()) }
/// # }
/// ```
pub struct HttpSink {
    client: reqwest::Client,
    server: Url,
    token: Option<Token>,
    identity: Identity,
    sent_images: SentImages,
    /// Requests beyond one per report; added to the report's sequence number.
    extra_requests: u64,
}

/// Builds an [`HttpSink`]; created by [`HttpSink::builder`].
#[derive(Clone)]
#[must_use]
pub struct HttpSinkBuilder {
    server: String,
    token: Option<String>,
    token_file: Option<PathBuf>,
    ca_file: Option<PathBuf>,
    version: String,
    namespace: Option<Namespace>,
}

impl HttpSink {
    /// Returns a builder for the server at this URL, e.g. `https://pulltrace.example:8443`.
    ///
    /// If the URL has a path, `/api/v1/report` is appended to it.
    pub fn builder(server: impl Into<String>) -> HttpSinkBuilder {
        HttpSinkBuilder {
            server: server.into(),
            token: None,
            token_file: None,
            ca_file: None,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            namespace: None,
        }
    }

    /// Checks the form of a server URL.
    ///
    /// # Errors
    /// Returns the problem. The message does not contain the URL, which may include a password.
    pub fn check_url(server: &str) -> Result<(), HttpSetupError> {
        parse_server_url(server).map(drop)
    }

    /// Checks that the server is reachable and healthy. Sends no token.
    ///
    /// # Errors
    /// Returns an error unless `GET /healthz` succeeds.
    pub async fn check_health(&self) -> Result<(), HttpError> {
        let url = self.endpoint("healthz");
        let response = self.send(self.client.get(url)).await?;
        let status = response.status();
        if status.is_success() {
            return Ok(());
        }
        Err(self.error_from_response(response).await)
    }

    /// Checks that the server accepts the agent's token.
    ///
    /// Sends an empty report: the server checks the token first and then rejects the body, so
    /// nothing changes.
    ///
    /// # Errors
    /// Returns an error if the token is rejected or the response is not from a pulltrace server.
    pub async fn check_token(&mut self) -> Result<(), HttpError> {
        let request = self.report_request(b"{}".to_vec());
        let response = self.send(request).await?;
        match response.status().as_u16() {
            400 | 422 => Ok(()),
            200..=299 => Err(self.unexpected_response("it accepted an empty report")),
            _ => Err(self.error_from_response(response).await),
        }
    }

    /// Builds a report request with the current token.
    fn report_request(&mut self, json: Vec<u8>) -> RequestBuilder {
        let mut request = self
            .client
            .post(self.endpoint("api/v1/report"))
            .header(CONTENT_TYPE, "application/json")
            .header(ACCEPT, "application/json");
        if let Some(token) = &mut self.token {
            token.refresh();
            if let Some(header) = token.authorization() {
                request = request.header(AUTHORIZATION, header);
            }
        }
        match gzip(&json) {
            Some(small) => request.header(CONTENT_ENCODING, "gzip").body(small),
            None => request.body(json),
        }
    }

    async fn post_report(&mut self, json: Vec<u8>) -> Result<v1::ReportAck, HttpError> {
        let request = self.report_request(json);
        let response = self.send(request).await?;
        if !response.status().is_success() {
            return Err(self.error_from_response(response).await);
        }
        let answer = self.read_body(response).await?;
        serde_json::from_slice(&answer).map_err(|_| {
            self.unexpected_response("the response to a report is not an acknowledgement")
        })
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, HttpError> {
        let sent = request.send().await;
        sent.map_err(|error| HttpError::from_reqwest(self.display_url(), &error))
    }

    /// Reads the response body, up to `MAX_RESPONSE`.
    async fn read_body(&self, mut response: Response) -> Result<Vec<u8>, HttpError> {
        let mut body = Vec::new();
        loop {
            let chunk = response.chunk().await;
            let chunk =
                chunk.map_err(|error| HttpError::from_reqwest(self.display_url(), &error))?;
            let Some(chunk) = chunk else {
                return Ok(body);
            };
            if body.len() + chunk.len() > MAX_RESPONSE {
                return Err(self.unexpected_response("the response is too long"));
            }
            body.extend_from_slice(&chunk);
        }
    }

    /// Converts an error response.
    async fn error_from_response(&self, response: Response) -> HttpError {
        let status = response.status();
        let retry_after = response
            .headers()
            .get(RETRY_AFTER)
            .and_then(|value| value.to_str().ok()?.trim().parse().ok())
            .map(Duration::from_secs);
        let secret = self.token.as_ref().map(Token::as_str);
        // The message is optional: if it cannot be read, the status is enough.
        let body = self.read_body(response).await.unwrap_or_default();
        let problem: Option<v1::Problem> = serde_json::from_slice(&body).ok();
        let text = problem.map(|problem| problem.detail.unwrap_or(problem.title));
        let detail = Detail::from_text(&text.unwrap_or_default(), secret);
        let server = self.display_url();
        HttpError::from_status(server, status, retry_after, detail, secret.is_some())
    }

    fn unexpected_response(&self, what: &'static str) -> HttpError {
        HttpError::new(self.display_url(), HttpErrorKind::UnexpectedResponse(what))
    }

    /// Returns the server's URL for messages.
    fn display_url(&self) -> &str {
        self.server.as_str().trim_end_matches('/')
    }

    /// Returns a URL below the server's.
    fn endpoint(&self, path: &str) -> Url {
        let mut url = self.server.clone();
        url.set_path(&format!("{}/{path}", url.path().trim_end_matches('/')));
        url
    }
}

impl ReportSink for HttpSink {
    async fn deliver(&mut self, report: Report) -> Result<Ack, SinkError> {
        let first = report.sequence.saturating_add(self.extra_requests);
        let parts = body::split(&report, &mut self.identity, &self.sent_images, first)
            .map_err(SinkError::unavailable)?;
        self.extra_requests += parts.len().saturating_sub(1) as u64;
        let mut ack = Ack::for_report(&report);
        for (index, mut part) in parts.into_iter().enumerate() {
            let json = std::mem::take(&mut part.json);
            let answer = self.post_report(json).await?;
            // The server restarted between two parts and has only this one.
            let server_changed = index > 0 && ack.epoch != answer.server_epoch;
            // The server acknowledges the request's number, which may differ from the report's.
            let sequence_offset = answer.accepted_seq.wrapping_sub(part.sequence);
            ack.sequence = report.sequence.wrapping_add(sequence_offset);
            ack.need_full = answer.need_full || server_changed;
            ack.next_report = answer.next_report_ms.map(Duration::from_millis);
            if sequence_offset == 0 {
                self.sent_images.on_ack(part, &answer.server_epoch);
            }
            ack.epoch = answer.server_epoch;
            if sequence_offset != 0 || ack.need_full {
                break;
            }
        }
        Ok(ack)
    }
}

impl From<HttpError> for SinkError {
    fn from(error: HttpError) -> Self {
        Self::Unavailable {
            retry_after: error.retry_after(),
            help: error.help(),
            source: error.into(),
        }
    }
}

/// Shows neither the token nor the sent images.
impl fmt::Debug for HttpSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpSink")
            .field("server", &self.display_url())
            .field("with_token", &self.token.is_some())
            .field("instance", &self.identity.agent.instance)
            .finish_non_exhaustive()
    }
}

impl HttpSinkBuilder {
    /// Sets the bearer token. Default: none.
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(token.into());
        self
    }

    /// Sets a file with the token, which is read before each report. Takes precedence over
    /// [`token`](Self::token).
    pub fn token_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.token_file = Some(path.into());
        self
    }

    /// Sets a PEM file with the CA certificates to trust instead of the system's. It is read once.
    pub fn ca_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.ca_file = Some(path.into());
        self
    }

    /// Sets the version that the agent reports. Default: that of this library.
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.version = version.into();
        self
    }

    /// Sets the containerd namespace that the agent reports. Default: none.
    pub fn namespace(mut self, namespace: Namespace) -> Self {
        self.namespace = Some(namespace);
        self
    }

    /// Builds the sink without connecting.
    ///
    /// # Errors
    /// Returns an error if a setting is invalid or a file cannot be read.
    pub fn build(self) -> Result<HttpSink, HttpSetupError> {
        let server = parse_server_url(&self.server)?;
        let token = match (self.token_file, &self.token) {
            (Some(path), _) => Some(Token::from_file(path)),
            (None, Some(token)) => Some(Token::from_text(token)),
            (None, None) => None,
        };
        let token = token.transpose().map_err(HttpSetupError::Token)?;
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls::client_config(&server, self.ca_file.as_deref())?)
            .user_agent(format!("pulltrace-agent/{}", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(TIMEOUT)
            .pool_max_idle_per_host(1)
            .build()
            .map_err(|error| HttpSetupError::Client(error.without_url().into()))?;
        let agent = v1::AgentInfo {
            version: self.version,
            instance: random_instance_id(),
            started_at: Clock::system().now().node,
            interval_ms: 0,
        };
        Ok(HttpSink {
            client,
            server,
            token,
            identity: Identity {
                agent,
                namespace: self.namespace.map(|name| name.to_string()),
                images_left_out: 0,
            },
            sent_images: SentImages::default(),
            extra_requests: 0,
        })
    }
}

/// Does not show the token.
impl fmt::Debug for HttpSinkBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpSinkBuilder")
            .field("token_file", &self.token_file)
            .field("ca_file", &self.ca_file)
            .finish_non_exhaustive()
    }
}

/// Parses the server's URL. Errors do not contain it, because it may include a password.
fn parse_server_url(text: &str) -> Result<Url, HttpSetupError> {
    let url: Url = text.parse().map_err(|_| HttpSetupError::Url("not a URL"))?;
    let problem = if !matches!(url.scheme(), "http" | "https") {
        "the scheme must be http or https"
    } else if !url.username().is_empty() || url.password().is_some() {
        "user name and password are not supported"
    } else if url.query().is_some() || url.fragment().is_some() {
        "query and fragment are not supported"
    } else {
        return Ok(url);
    };
    Err(HttpSetupError::Url(problem))
}

/// Returns 32 hexadecimal digits that identify this start of the agent: pseudo-random, not secret.
fn random_instance_id() -> String {
    format!("{:032x}", fastrand::u128(..))
}

/// Compresses the body; `None` if it is too small.
fn gzip(json: &[u8]) -> Option<Vec<u8>> {
    if json.len() < MIN_COMPRESS_SIZE {
        return None;
    }
    let mut gzip = GzEncoder::new(Vec::with_capacity(json.len() / 4), Compression::fast());
    gzip.write_all(json).ok()?;
    gzip.finish().ok()
}
