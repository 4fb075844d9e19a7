//! The client, its builder, and single requests. `list`, `follow`, `pod` and `wait` add its other methods.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use pulltrace_core::PullId;
use pulltrace_core::wire::v1::{ImageList, NodeList, PullStatus, ServerStatus};
use reqwest::Url;

use crate::backoff::RetryDelay;
use crate::error::{RequestError, SetupError};
use crate::request::HttpClient;
use crate::tls;
use crate::token::Token;

const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const IDLE_TIMEOUT: Duration = Duration::from_secs(20);
const FIRST_RETRY: Duration = Duration::from_secs(1);
const MAX_RETRY: Duration = Duration::from_secs(30);

/// A client of one server. Clones share its connections.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use pulltrace_client::{Client, Filter};
/// let client = Client::builder("http://127.0.0.1:8080").build()?;
/// for pull in client.pulls(&Filter::default().node("worker-1")).await?.pulls {
///     println!("{} {:?} {:?}", pull.id, pull.phase, pull.percent);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Client {
    pub(crate) http: HttpClient,
    pub(crate) idle_timeout: Duration,
    pub(crate) backoff: RetryDelay,
}

/// Builds a [`Client`].
#[must_use]
pub struct ClientBuilder {
    server: String,
    token: Option<Token>,
    timeout: Duration,
    idle_timeout: Duration,
    retry: (Duration, Duration),
}

impl Client {
    /// Returns a builder for a client of the server at this URL: `http://127.0.0.1:8080`, or a URL
    /// with the path under which a gateway serves it.
    pub fn builder(server: impl Into<String>) -> ClientBuilder {
        ClientBuilder {
            server: server.into(),
            token: None,
            timeout: REQUEST_TIMEOUT,
            idle_timeout: IDLE_TIMEOUT,
            retry: (FIRST_RETRY, MAX_RETRY),
        }
    }

    /// Returns a pull; `None` if the id is unknown or the pull has expired.
    ///
    /// # Errors
    /// If the request fails.
    pub async fn pull(&self, id: &str) -> Result<Option<PullStatus>, RequestError> {
        // Reject malformed ids: in a path they would name another resource.
        if id.parse::<PullId>().is_err() {
            return Ok(None);
        }
        let url = self.http.url(&["api", "v1", "pulls", id], &[]);
        match self.http.get_json(url).await {
            Ok(pull) => Ok(Some(pull)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Returns the nodes, with totals over their pulls.
    ///
    /// # Errors
    /// If the request fails.
    pub async fn nodes(&self) -> Result<NodeList, RequestError> {
        self.http.get_json(self.http.url(&["api", "v1", "nodes"], &[])).await
    }

    /// Returns the images of all known pulls.
    ///
    /// # Errors
    /// If the request fails.
    pub async fn images(&self) -> Result<ImageList, RequestError> {
        self.http.get_json(self.http.url(&["api", "v1", "images"], &[])).await
    }

    /// Returns the server's status, and the download rate of all nodes in the last 15 minutes.
    ///
    /// # Errors
    /// If the request fails.
    pub async fn server(&self) -> Result<ServerStatus, RequestError> {
        self.http.get_json(self.http.url(&["api", "v1", "server"], &[])).await
    }
}

/// Omits the token.
impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("server", &self.http.server.as_str()).finish_non_exhaustive()
    }
}

impl ClientBuilder {
    /// Sets the token for all requests. Default: none.
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(Token::Fixed(token.into()));
        self
    }

    /// Sets the file with the token. It is read for each request, as Kubernetes rotates tokens.
    pub fn token_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.token = Some(Token::File(path.into()));
        self
    }

    /// Sets the timeout of a request, and of opening a stream. Default: 10 s.
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets the time after which a silent stream is reopened. A server sends something every 5 s.
    /// Default: 20 s.
    pub const fn idle_timeout(mut self, silence: Duration) -> Self {
        self.idle_timeout = silence;
        self
    }

    /// Sets the first and the maximum delay before a stream is reopened. Default: 1 s and 30 s. A
    /// server may request 100 ms to 1 min.
    pub const fn retry(mut self, first: Duration, longest: Duration) -> Self {
        self.retry = (first, longest);
        self
    }

    /// Creates the client. Sends no request.
    ///
    /// # Errors
    /// If a setting is invalid.
    pub fn build(self) -> Result<Client, SetupError> {
        let server = parse_server_url(&self.server)?;
        if let Some(token) = &self.token {
            token.header().map_err(SetupError::Token)?;
        }
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls::config(server.scheme() == "https")?)
            .user_agent(concat!("pulltrace-client/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .build()
            .map_err(|error| SetupError::Client(error.without_url().into()))?;
        let (first, longest) = self.retry;
        Ok(Client {
            http: HttpClient { client, server, token: self.token, timeout: self.timeout },
            idle_timeout: self.idle_timeout,
            backoff: RetryDelay::new(first, longest.max(first)),
        })
    }
}

/// Omits the token.
impl fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientBuilder").finish_non_exhaustive()
    }
}

fn parse_server_url(text: &str) -> Result<Url, SetupError> {
    let url: Url = text.parse().map_err(|_| SetupError::Url("malformed"))?;
    let wrong = if !matches!(url.scheme(), "http" | "https") {
        "unsupported scheme"
    } else if !url.username().is_empty() || url.password().is_some() {
        "user name and password are not supported"
    } else if url.query().is_some() || url.fragment().is_some() {
        "query and fragment are not supported"
    } else {
        return Ok(url);
    };
    Err(SetupError::Url(wrong))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invalid_url_is_rejected_without_leaking_password() {
        for url in
            ["", "127.0.0.1:8080", "ftp://x", "http://a:secret@b", "http://x/?a=b", "http://x/#a"]
        {
            let error = Client::builder(url).build().unwrap_err();
            assert!(matches!(error, SetupError::Url(_)), "{url}: {error}");
            assert!(!format!("{error} {error:?}").contains("secret"));
        }
    }

    #[test]
    fn server_url_may_have_a_path() {
        for (server, url) in [
            ("http://x:8080", "http://x:8080/api/v1/nodes"),
            ("http://x/pulltrace", "http://x/pulltrace/api/v1/nodes"),
            ("http://x/pulltrace/", "http://x/pulltrace/api/v1/nodes"),
        ] {
            let client = Client::builder(server).build().unwrap();
            assert_eq!(client.http.url(&["api", "v1", "nodes"], &[]).as_str(), url);
        }
    }

    #[test]
    fn debug_output_omits_token() {
        let builder = Client::builder("http://x").token("sesame");
        assert!(!format!("{builder:?}").contains("sesame"));
        let client = builder.build().unwrap();
        assert!(!format!("{client:?}").contains("sesame"));
        assert!(matches!(
            Client::builder("http://x").token("a b").build(),
            Err(SetupError::Token(_))
        ));
    }
}
