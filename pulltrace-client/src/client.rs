//! The client: how it is made, and what it asks for once.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use futures_util::Stream;
use pulltrace_core::PullId;
use pulltrace_core::wire::v1::{
    ImageList, NodeList, PodList, PodPulls, PullList, PullStatus, ServerStatus,
};
use reqwest::Url;

use crate::backoff::Backoff;
use crate::error::{FollowError, RequestError, SetupError, WaitError};
use crate::filter::Filter;
use crate::follow::{self, Followed, Start};
use crate::pod::{self, PodFollowed};
use crate::request::Http;
use crate::tls;
use crate::token::Token;
use crate::wait::{self, Target, Until};

/// Items of one page of a list.
const PAGE: usize = 500;

/// Pages of a list: a server keeps fewer pulls and pods than these hold.
const MAX_PAGES: usize = 2_000;

const TIMEOUT: Duration = Duration::from_secs(10);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const SILENCE: Duration = Duration::from_secs(20);
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(30);

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
    pub(crate) http: Http,
    pub(crate) silence: Duration,
    backoff: Backoff,
}

/// What a [`Client`] is made of.
#[must_use]
pub struct ClientBuilder {
    server: String,
    token: Option<Token>,
    timeout: Duration,
    silence: Duration,
    retry: (Duration, Duration),
}

impl Client {
    /// A client of the server at this URL: `http://127.0.0.1:8080`, or one with a path that a gateway
    /// serves it under.
    pub fn builder(server: impl Into<String>) -> ClientBuilder {
        ClientBuilder {
            server: server.into(),
            token: None,
            timeout: TIMEOUT,
            silence: SILENCE,
            retry: (FIRST_RETRY, LONGEST_RETRY),
        }
    }

    /// The pulls, live and ended, that the filter wants: all pages of the list. What the list says of
    /// its time and its place in the server's changes is of the first page, so what happened since is
    /// followed from there.
    ///
    /// # Errors
    /// Where one of the pages has no answer. Nothing is tried twice, unless the server starts anew
    /// between two pages: then the list is begun anew.
    pub async fn pulls(&self, filter: &Filter) -> Result<PullList, RequestError> {
        let mut query = filter.of_list();
        query.push(("limit", PAGE.to_string()));
        let mut whole: Option<PullList> = None;
        let mut next: Option<String> = None;
        for _ in 0..MAX_PAGES {
            let mut query = query.clone();
            query.extend(next.take().map(|next| ("continue", next)));
            let url = self.http.url(&["api", "v1", "pulls"], &query);
            let mut page: PullList = self.http.json(url).await?;
            next = page.next.take();
            match &mut whole {
                None => whole = Some(page),
                Some(whole) if whole.epoch == page.epoch => whole.pulls.append(&mut page.pulls),
                Some(_) => (whole, next) = (None, None),
            }
            if next.is_none()
                && let Some(whole) = whole.take()
            {
                return Ok(whole);
            }
        }
        Err(self.http.not_ours("its list of pulls does not end"))
    }

    /// One pull; `None` where there is no such one, or it is kept no more.
    ///
    /// # Errors
    /// Where the server does not answer.
    pub async fn pull(&self, id: &str) -> Result<Option<PullStatus>, RequestError> {
        // What is no id is not asked for: in a path it would be something else.
        if id.parse::<PullId>().is_err() {
            return Ok(None);
        }
        let url = self.http.url(&["api", "v1", "pulls", id], &[]);
        match self.http.json(url).await {
            Ok(pull) => Ok(Some(pull)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The pods that wait for an image, that the filter wants by its node, namespace, pod and image; and
    /// whether the server hears of pods and events: all pages of the list.
    ///
    /// # Errors
    /// Where one of the pages has no answer; a server that knows no pods refuses. Nothing is tried twice,
    /// unless the server starts anew between two pages: then the list is begun anew.
    pub async fn pods(&self, filter: &Filter) -> Result<PodList, RequestError> {
        let mut query = filter.of_pods();
        query.push(("limit", PAGE.to_string()));
        let mut whole: Option<PodList> = None;
        let mut next: Option<String> = None;
        for _ in 0..MAX_PAGES {
            let mut query = query.clone();
            query.extend(next.take().map(|next| ("continue", next)));
            let url = self.http.url(&["api", "v1", "pods"], &query);
            let mut page: PodList = self.http.json(url).await?;
            next = page.next.take();
            match &mut whole {
                None => whole = Some(page),
                Some(whole) if whole.epoch == page.epoch => whole.pods.append(&mut page.pods),
                Some(_) => (whole, next) = (None, None),
            }
            if next.is_none()
                && let Some(whole) = whole.take()
            {
                return Ok(whole);
            }
        }
        Err(self.http.not_ours("its list of pods does not end"))
    }

    /// What one pod waits for, with its pulls; `None` where no pod of that name is known to wait.
    ///
    /// # Errors
    /// Where the server does not answer, knows no pods, or does not know all of them yet.
    pub async fn pod_pulls(
        &self,
        namespace: &str,
        pod: &str,
    ) -> Result<Option<PodPulls>, RequestError> {
        let url = pod::url(self, namespace, pod, false);
        match self.http.json(url).await {
            Ok(pulls) => Ok(Some(pulls)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What one pod waits for, at once and at each change, until all its images are there or it is gone.
    ///
    /// It comes back over disconnects and restarts of the server, as [`follow`](Self::follow) does, and is
    /// told all anew then. After [`PodFollowed::End`] the stream ends; after an error, too: each is one that
    /// no retry cures, as where no pod of that name is known to wait.
    pub fn follow_pod(
        &self,
        namespace: &str,
        pod: &str,
    ) -> impl Stream<Item = Result<PodFollowed, FollowError>> + Send + 'static + use<> {
        pod::follow(self.clone(), namespace, pod)
    }

    /// The nodes, with sums over their pulls.
    ///
    /// # Errors
    /// Where the server does not answer.
    pub async fn nodes(&self) -> Result<NodeList, RequestError> {
        self.http
            .json(self.http.url(&["api", "v1", "nodes"], &[]))
            .await
    }

    /// The images of all known pulls.
    ///
    /// # Errors
    /// Where the server does not answer.
    pub async fn images(&self) -> Result<ImageList, RequestError> {
        self.http
            .json(self.http.url(&["api", "v1", "images"], &[]))
            .await
    }

    /// The server itself, and how fast all nodes downloaded in the last 15 minutes.
    ///
    /// # Errors
    /// Where the server does not answer.
    pub async fn server(&self) -> Result<ServerStatus, RequestError> {
        self.http
            .json(self.http.url(&["api", "v1", "server"], &[]))
            .await
    }

    /// What happens to the pulls that the filter wants, as it happens.
    ///
    /// Over disconnects and restarts of the server it goes on by itself, from where it was if the
    /// server still has what came since, else with [`Followed::Reset`] and a new snapshot. It waits 1 s
    /// before it comes back, or what the server says; twice as long after each further failure, up to
    /// 30 s; half of that at random. A server that is silent for 20 s is taken for gone. Nothing is kept
    /// while nobody polls.
    ///
    /// The stream ends after an error: each is one that no retry cures.
    pub fn follow(
        &self,
        filter: &Filter,
        start: Start,
    ) -> impl Stream<Item = Result<Followed, FollowError>> + Send + 'static + use<> {
        follow::follow(self.clone(), filter, start)
    }

    /// Waits until a pull has ended, over disconnects and restarts of the server; for ever, unless the
    /// caller stops. What it gives has no layers.
    ///
    /// # Errors
    /// Where the pull is not known or ended otherwise, or the server refuses what no retry cures.
    pub async fn wait(&self, target: &Target, until: Until) -> Result<PullStatus, WaitError> {
        wait::wait(self, target, until).await
    }

    pub(crate) fn backoff(&self) -> Backoff {
        self.backoff.clone()
    }
}

/// Without the token.
impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("server", &self.http.server.as_str())
            .finish_non_exhaustive()
    }
}

impl ClientBuilder {
    /// The token that is sent with each request. Default: none.
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(Token::Fixed(token.into()));
        self
    }

    /// The file that the token is in, read for each request: Kubernetes changes its tokens.
    pub fn token_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.token = Some(Token::File(path.into()));
        self
    }

    /// How long a request may take, and a stream until it begins. Default 10 s.
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How long a stream may be silent before it is opened anew; a server says something each 5 s.
    /// Default 20 s.
    pub const fn silence(mut self, silence: Duration) -> Self {
        self.silence = silence;
        self
    }

    /// How long to wait before a stream is opened anew, the first time and at the most. Default 1 s
    /// and 30 s. A server may ask for 100 ms to 1 min.
    pub const fn retry(mut self, first: Duration, longest: Duration) -> Self {
        self.retry = (first, longest);
        self
    }

    /// Makes the client. Nothing is sent yet.
    ///
    /// # Errors
    /// Where a setting cannot work.
    pub fn build(self) -> Result<Client, SetupError> {
        let server = server(&self.server)?;
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
            http: Http {
                client,
                server,
                token: self.token,
                timeout: self.timeout,
            },
            silence: self.silence,
            backoff: Backoff::new(first, longest.max(first)),
        })
    }
}

/// Without the token.
impl fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientBuilder").finish_non_exhaustive()
    }
}

fn server(text: &str) -> Result<Url, SetupError> {
    let url: Url = text.parse().map_err(|_| SetupError::Url("it is no URL"))?;
    let wrong = if !matches!(url.scheme(), "http" | "https") {
        "it is neither http nor https"
    } else if !url.username().is_empty() || url.password().is_some() {
        "it has a user name or a password, for which there are tokens"
    } else if url.query().is_some() || url.fragment().is_some() {
        "it has a query or a fragment"
    } else {
        return Ok(url);
    };
    Err(SetupError::Url(wrong))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_that_cannot_be_asked_is_refused_without_its_password() {
        for url in [
            "",
            "127.0.0.1:8080",
            "ftp://x",
            "http://a:secret@b",
            "http://x/?a=b",
            "http://x/#a",
        ] {
            let error = Client::builder(url).build().unwrap_err();
            assert!(matches!(error, SetupError::Url(_)), "{url}: {error}");
            assert!(!format!("{error} {error:?}").contains("secret"));
        }
    }

    #[test]
    fn a_server_may_be_below_a_path() {
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
    fn a_token_is_in_no_debug_text() {
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
