//! Reports to a pulltrace server: `POST /api/v1/report`, JSON of wire version 1.

mod body;
mod error;
mod tls;
mod token;

use std::fmt;
use std::hash::{BuildHasher as _, Hasher as _};
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
use self::body::{Identity, Told};
pub use self::error::{Detail, HttpError, HttpSetupError, TokenError};
use self::token::Token;
use super::{Ack, Report, ReportSink, SinkError};
use crate::clock::Clock;

/// How long a report may take, from its first byte to the last of the answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How long of that the connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The longest answer that is read.
const MAX_ANSWER: usize = 64 << 10;

/// Below this a body is not worth compressing.
const COMPRESS_FROM: usize = 1 << 10;

/// Tells the pulls of a node to a pulltrace server.
///
/// - What never changes of an image is told once to each server that an epoch names, and counts as told
///   when a report that had it was acknowledged.
/// - A report of more than [`MAX_BODY`] bytes goes out in several that follow one another, the live pulls
///   first; nothing is left out. Only a pull that would be too large alone is told without its image,
///   which is counted as the anomaly `image_left_out`.
/// - A token file is read for each report, so a token may be exchanged at any time. Where it cannot be
///   read, the last token stands.
/// - Each request has 10 s. Redirects are not followed and no proxy of the environment is used, so that
///   the token goes to the server alone.
/// - Errors are [`SinkError::Unavailable`] with an [`HttpError`] inside; this sink is never closed.
///
/// ```no_run
/// # #[cfg(feature = "containerd")] {
/// use pulltrace_agent_lib::source::containerd::Containerd;
/// use pulltrace_agent_lib::{Collector, sink::HttpSink};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let sink = HttpSink::builder("https://pulltrace.example")
///     .token_file("/var/run/secrets/pulltrace/token")
///     .build()?;
/// let node: pulltrace_core::NodeName = "worker-1".parse()?;
/// let collector = Collector::builder(node.clone())
///     .source(Containerd::builder(node).start())
///     .sink(sink)
///     .build()?;
/// collector.run(std::future::pending()).await?;
/// # Ok(()) }
/// # }
/// ```
pub struct HttpSink {
    client: reqwest::Client,
    server: Url,
    token: Option<Token>,
    who: Identity,
    told: Told,
    /// How many more requests there were than reports.
    extra: u64,
}

/// How to report; made by [`HttpSink::builder`].
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
    /// A sink for the server at this URL, as in `https://pulltrace.example:8443`. A path is kept: below
    /// it is `/api/v1/report`.
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

    /// Whether reports could go to this URL, by its form alone.
    ///
    /// # Errors
    /// What is wrong with it, without the URL itself, which may have a password in it.
    pub fn check_url(server: &str) -> Result<(), HttpSetupError> {
        url(server).map(drop)
    }

    /// Asks whether a server is there, without a token and without telling it anything.
    ///
    /// # Errors
    /// Where none answers `GET /healthz` as a healthy one does.
    pub async fn reach(&self) -> Result<(), HttpError> {
        let url = self.at("healthz");
        let response = self.send(self.client.get(url)).await?;
        let status = response.status();
        if status.is_success() {
            return Ok(());
        }
        Err(self.refusal(response).await)
    }

    /// Asks whether the server lets this agent report, by a report without content: a server looks at
    /// the token first, and then refuses that. It changes nothing there.
    ///
    /// # Errors
    /// Where the token is refused, or the answer is no pulltrace server's.
    pub async fn admitted(&mut self) -> Result<(), HttpError> {
        let request = self.report(b"{}".to_vec());
        let response = self.send(request).await?;
        match response.status().as_u16() {
            400 | 422 => Ok(()),
            200..=299 => Err(self.not_ours("it takes a report that says nothing")),
            _ => Err(self.refusal(response).await),
        }
    }

    /// One request to report, with the token as it is now.
    fn report(&mut self, json: Vec<u8>) -> RequestBuilder {
        let mut request = self
            .client
            .post(self.at("api/v1/report"))
            .header(CONTENT_TYPE, "application/json")
            .header(ACCEPT, "application/json");
        if let Some(token) = &mut self.token {
            token.refresh();
            if let Some(header) = token.header() {
                request = request.header(AUTHORIZATION, header);
            }
        }
        match compressed(&json) {
            Some(small) => request.header(CONTENT_ENCODING, "gzip").body(small),
            None => request.body(json),
        }
    }

    async fn post(&mut self, json: Vec<u8>) -> Result<v1::ReportAck, HttpError> {
        let request = self.report(json);
        let response = self.send(request).await?;
        if !response.status().is_success() {
            return Err(self.refusal(response).await);
        }
        let answer = self.answer(response).await?;
        serde_json::from_slice(&answer)
            .map_err(|_| self.not_ours("its answer to a report is no acknowledgement"))
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, HttpError> {
        let sent = request.send().await;
        sent.map_err(|error| HttpError::unsent(self.label(), &error))
    }

    /// The body of an answer.
    async fn answer(&self, mut response: Response) -> Result<Vec<u8>, HttpError> {
        let mut body = Vec::new();
        loop {
            let chunk = response.chunk().await;
            let chunk = chunk.map_err(|error| HttpError::unsent(self.label(), &error))?;
            let Some(chunk) = chunk else {
                return Ok(body);
            };
            if body.len() + chunk.len() > MAX_ANSWER {
                return Err(self.not_ours("its answer is longer than any of a server's"));
            }
            body.extend_from_slice(&chunk);
        }
    }

    /// Why the server did not do what it was asked to.
    async fn refusal(&self, response: Response) -> HttpError {
        let status = response.status();
        let retry_after = response
            .headers()
            .get(RETRY_AFTER)
            .and_then(|value| value.to_str().ok()?.trim().parse().ok())
            .map(Duration::from_secs);
        let secret = self.token.as_ref().map(Token::as_str);
        // What it says is a help, no more: where it cannot be read, the status stands.
        let body = self.answer(response).await.unwrap_or_default();
        let problem: Option<v1::Problem> = serde_json::from_slice(&body).ok();
        let said = problem.map(|problem| problem.detail.unwrap_or(problem.title));
        let detail = Detail::of(&said.unwrap_or_default(), secret);
        let server = self.label();
        HttpError::refused(server, status, retry_after, detail, secret.is_some())
    }

    fn not_ours(&self, what: &'static str) -> HttpError {
        HttpError::NotOurs {
            server: self.label().to_owned(),
            what,
        }
    }

    /// The server, for people.
    fn label(&self) -> &str {
        self.server.as_str().trim_end_matches('/')
    }

    /// A URL below the server's.
    fn at(&self, path: &str) -> Url {
        let mut url = self.server.clone();
        url.set_path(&format!("{}/{path}", url.path().trim_end_matches('/')));
        url
    }
}

impl ReportSink for HttpSink {
    async fn deliver(&mut self, report: Report) -> Result<Ack, SinkError> {
        let first = report.sequence.saturating_add(self.extra);
        let parts = body::parts(&report, &mut self.who, &self.told, first).map_err(|error| {
            SinkError::Unavailable {
                retry_after: None,
                source: error.into(),
            }
        })?;
        self.extra += parts.len().saturating_sub(1) as u64;
        let mut ack = Ack::of(&report);
        for (place, mut part) in parts.into_iter().enumerate() {
            let json = std::mem::take(&mut part.json);
            let answer = self.post(json).await.map_err(|error| {
                let retry_after = error.retry_after();
                let source = error.into();
                SinkError::Unavailable {
                    retry_after,
                    source,
                }
            })?;
            // Another server took the part before this one, and has now only this.
            let reborn = place > 0 && ack.epoch != answer.server_epoch;
            // What is acknowledged is this request, whose number may differ from the report's.
            let off = answer.accepted_seq.wrapping_sub(part.sequence);
            ack.sequence = report.sequence.wrapping_add(off);
            ack.need_full = answer.need_full || reborn;
            ack.next_report = answer.next_report_ms.map(Duration::from_millis);
            if off == 0 {
                self.told.acknowledged(part, &answer.server_epoch);
            }
            ack.epoch = answer.server_epoch;
            if off != 0 || ack.need_full {
                break;
            }
        }
        Ok(ack)
    }
}

/// Neither the token nor what was told.
impl fmt::Debug for HttpSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpSink")
            .field("server", &self.label())
            .field("with_token", &self.token.is_some())
            .field("instance", &self.who.agent.instance)
            .finish_non_exhaustive()
    }
}

impl HttpSinkBuilder {
    /// The token that the server knows the agent by. Default: none.
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(token.into());
        self
    }

    /// A file with that token, which is read anew for each report. It wins over
    /// [`token`](Self::token).
    pub fn token_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.token_file = Some(path.into());
        self
    }

    /// A PEM file with the certificates that the server's must go back to, instead of those of the
    /// system. It is read once.
    pub fn ca_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.ca_file = Some(path.into());
        self
    }

    /// The version of the agent. Default: that of this library.
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.version = version.into();
        self
    }

    /// The containerd namespace that is watched, for the server to show. Default: not told.
    pub fn namespace(mut self, namespace: Namespace) -> Self {
        self.namespace = Some(namespace);
        self
    }

    /// Makes the sink. Nothing is sent yet.
    ///
    /// # Errors
    /// Where a setting cannot work, or a file cannot be read.
    pub fn build(self) -> Result<HttpSink, HttpSetupError> {
        let server = url(&self.server)?;
        let token = match (self.token_file, &self.token) {
            (Some(path), _) => Some(Token::in_file(path)),
            (None, Some(token)) => Some(Token::fixed(token)),
            (None, None) => None,
        };
        let token = token.transpose().map_err(HttpSetupError::Token)?;
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls::config(&server, self.ca_file.as_deref())?)
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
            instance: instance(),
            started_at: Clock::system().now().node,
            interval_ms: 0,
        };
        Ok(HttpSink {
            client,
            server,
            token,
            who: Identity {
                agent,
                namespace: self.namespace.map(|name| name.to_string()),
                images_left_out: 0,
            },
            told: Told::default(),
            extra: 0,
        })
    }
}

/// Without the token.
impl fmt::Debug for HttpSinkBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpSinkBuilder")
            .field("token_file", &self.token_file)
            .field("ca_file", &self.ca_file)
            .finish_non_exhaustive()
    }
}

/// The URL of a server. What is wrong with another is said without it: it may have a password in it.
fn url(text: &str) -> Result<Url, HttpSetupError> {
    let url: Url = text
        .parse()
        .map_err(|_| HttpSetupError::Url("it is no URL"))?;
    let wrong = if !matches!(url.scheme(), "http" | "https") {
        "it is neither http nor https"
    } else if !url.username().is_empty() || url.password().is_some() {
        "it has a user name or a password, for which there are tokens"
    } else if url.query().is_some() || url.fragment().is_some() {
        "it has a query or a fragment"
    } else {
        return Ok(url);
    };
    Err(HttpSetupError::Url(wrong))
}

/// A name that no other start of an agent has: 32 hexadecimal digits.
fn instance() -> String {
    // The hasher is the standard library's only source of randomness.
    let random = || std::hash::RandomState::new().build_hasher().finish();
    format!("{:016x}{:016x}", random(), random())
}

/// The body by gzip; `None` where that is not worth it.
fn compressed(json: &[u8]) -> Option<Vec<u8>> {
    if json.len() < COMPRESS_FROM {
        return None;
    }
    let mut gzip = GzEncoder::new(Vec::with_capacity(json.len() / 4), Compression::fast());
    gzip.write_all(json).ok()?;
    gzip.finish().ok()
}
