//! Lists and watches of one kind of object, merged into one stream that keeps the contract of a source.
//!
//! All parts (a selector in a namespace) are listed one after the other, page by page, so that no more than
//! a page is held; then all are watched at once. Of what can be gone, a gap in one part begins everything
//! anew; of what stays true, the part is listed again.

use std::convert::Infallible;
use std::fmt::Debug;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::AsyncBufRead;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use kube::api::{ListParams, WatchParams};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tracing::debug;

use super::access::Access;
use super::read::{Body, Bookmark, Line, Page, Status};
use super::trouble::{Backoff, Failure};
use crate::cluster::{Trouble, TroubleKind};

/// Objects of a page.
const PAGE: u32 = 500;

/// Within this time a page has come, or a watch has begun.
const ANSWER: Duration = Duration::from_secs(60);

/// So long is a watch, in seconds; the next goes on from there.
const WATCH: u32 = 240;

/// A watch that says nothing for longer than it may last is dead.
const IDLE: Duration = Duration::from_secs(WATCH as u64 + 15);

/// A watch that lives so long will go on: an API server says at once where it cannot.
const SETTLED: Duration = Duration::from_secs(1);

/// A kind of object, and what a source of it says.
pub(super) trait Kind: Send + Debug + 'static {
    /// What the source says.
    type Update: Send + Debug + 'static;

    /// Its name in a path.
    const PLURAL: &'static str;

    /// Whether what a new list does not have is gone: then all is said anew.
    const FORGETS: bool;

    /// What is asked for, each in a list and a watch of its own.
    fn selectors() -> Vec<String>;

    fn reset() -> Self::Update;
    fn done() -> Self::Update;
    fn trouble(trouble: Trouble) -> Self::Update;

    /// What an object says.
    fn read(&mut self, object: &str, how: How) -> Said<Self::Update>;
}

/// How an object came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    Listed,
    Changed,
    Deleted,
}

/// What an object says, and its version.
#[derive(Debug)]
pub(super) struct Said<U> {
    pub(super) update: Option<U>,
    pub(super) version: Option<String>,
}

/// A list and a watch.
#[derive(Debug)]
struct Part {
    path: String,
    selector: String,
}

#[derive(Debug)]
pub(super) struct Feed<K: Kind> {
    access: Access,
    parts: Vec<Part>,
    said: mpsc::Sender<K::Update>,
    state: Mutex<State<K>>,
}

#[derive(Debug)]
struct State<K> {
    kind: K,
    /// Of each part.
    troubles: Vec<Option<Trouble>>,
    /// Whether `Done` was said since `Reset`, or would have been but for troubles.
    listed: bool,
    /// Whether a watch said something since `Reset`.
    heard: bool,
}

impl<K> State<K> {
    /// Whether the source has a new kind of trouble.
    fn note(&mut self, index: usize, trouble: &Trouble) -> bool {
        let mut known = self.troubles.iter().flatten();
        let is_new = known.all(|known| known.kind != trouble.kind);
        if let Some(of_part) = self.troubles.get_mut(index) {
            *of_part = Some(trouble.clone());
        }
        is_new
    }

    /// Whether the source has a kind of trouble less, and that is to be said.
    fn clear(&mut self, index: usize) -> bool {
        let Some(over) = self.troubles.get_mut(index).and_then(Option::take) else {
            return false;
        };
        let mut others = self.troubles.iter().flatten();
        self.listed && others.all(|other| other.kind != over.kind)
    }
}

/// Why a part does not go on.
#[derive(Debug)]
enum Stop {
    /// Nobody listens.
    Gone,
    /// All must be said anew.
    Anew,
}

/// How a watch ended.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// It can go on from where it was.
    Over,
    /// It cannot.
    Gap,
}

impl<K: Kind> Feed<K> {
    /// Of these namespaces; none are all.
    pub(super) fn new(
        access: Access,
        namespaces: &[String],
        kind: K,
        said: mpsc::Sender<K::Update>,
    ) -> Self {
        let plural = K::PLURAL;
        let paths: Vec<String> = if namespaces.is_empty() {
            vec![format!("/api/v1/{plural}")]
        } else {
            let path = |name| format!("/api/v1/namespaces/{name}/{plural}");
            namespaces.iter().map(path).collect()
        };
        let part = |path: &String| {
            let path = path.clone();
            K::selectors().into_iter().map(move |selector| Part {
                path: path.clone(),
                selector,
            })
        };
        let parts: Vec<Part> = paths.iter().flat_map(part).collect();
        let state = State {
            kind,
            troubles: vec![None; parts.len()],
            listed: false,
            heard: false,
        };
        Self {
            access,
            parts,
            said,
            state: Mutex::new(state),
        }
    }

    /// Goes on until nobody listens.
    pub(super) async fn run(self) {
        let mut backoff = Backoff::default();
        loop {
            let stop = match self.begin().await {
                Ok(versions) => self.follow_all(versions).await,
                Err(stop) => stop,
            };
            match stop {
                Stop::Gone => return,
                Stop::Anew => debug!(kind = K::PLURAL, "what was watched is forgotten: all anew"),
            }
            if self.state().heard {
                backoff.reset();
            }
            backoff.wait().await;
        }
    }

    /// Says all that is there; the version of each part, or none where it is forbidden.
    async fn begin(&self) -> Result<Vec<Option<String>>, Stop> {
        self.forget();
        self.say(K::reset()).await?;
        let mut versions = Vec::new();
        for part in &self.parts {
            versions.push(self.list(versions.len(), part, How::Listed).await?);
        }
        self.state().listed = true;
        if versions.iter().any(Option::is_some) {
            self.done().await?;
        }
        Ok(versions)
    }

    fn forget(&self) {
        let mut state = self.state();
        (state.listed, state.heard) = (false, false);
    }

    async fn follow_all(&self, versions: Vec<Option<String>>) -> Stop {
        let follow = |(index, (part, version))| self.follow(index, part, version);
        let parts = self.parts.iter().zip(versions).enumerate();
        let mut parts: FuturesUnordered<_> = parts.map(follow).collect();
        match parts.next().await {
            Some(Err(stop)) => stop,
            Some(Ok(never)) => match never {},
            None => Stop::Gone,
        }
    }

    async fn follow(
        &self,
        index: usize,
        part: &Part,
        mut version: Option<String>,
    ) -> Result<Infallible, Stop> {
        let mut backoff = Backoff::default();
        loop {
            match &mut version {
                Some(from) => match self.watch(index, part, from, &mut backoff).await? {
                    End::Over => {}
                    End::Gap if K::FORGETS => return Err(Stop::Anew),
                    End::Gap => version = None,
                },
                // It was forbidden: as soon as it is not, all of it is new.
                None if K::FORGETS => match self.page(part, None, 1).await {
                    Ok(_) => return Err(Stop::Anew),
                    Err(failure) => self.fail(index, failure).await?,
                },
                None => version = self.list(index, part, How::Changed).await?,
            }
            backoff.wait().await;
        }
    }

    /// Says all objects of a part; the version that they are of, or none where they are forbidden.
    async fn list(&self, index: usize, part: &Part, how: How) -> Result<Option<String>, Stop> {
        let (mut token, mut limit) = (None, PAGE);
        let mut backoff = Backoff::default();
        loop {
            let page = self.page(part, token.as_deref(), limit).await;
            let parsed = page.as_deref().map(serde_json::from_slice::<Page<'_>>);
            let failure = match parsed {
                Ok(Ok(page)) => {
                    for object in page.items.iter().flatten() {
                        let said = self.state().kind.read(object.get(), how);
                        self.say_some(said.update).await?;
                    }
                    backoff.reset();
                    token = page.metadata.r#continue.filter(|token| !token.is_empty());
                    if token.is_some() {
                        continue;
                    }
                    self.well(index).await?;
                    return Ok(Some(page.metadata.resource_version));
                }
                Ok(Err(error)) => Failure::odd(&format!("the answer is no list: {error}")),
                Err(failure) => failure.clone(),
            };
            match failure {
                // Whoever listens was slow, and what the first pages said is not what is.
                Failure::Expired if K::FORGETS && token.is_some() => return Err(Stop::Anew),
                Failure::Expired => token = None,
                Failure::TooLong => limit = (limit / 8).max(1),
                Failure::Trouble(_) => {}
            }
            self.fail(index, failure).await?;
            if self.is_forbidden(index) {
                return Ok(None);
            }
            backoff.wait().await;
        }
    }

    async fn page(&self, part: &Part, token: Option<&str>, limit: u32) -> Result<Vec<u8>, Failure> {
        let params = ListParams {
            field_selector: Some(part.selector.clone()),
            limit: Some(limit),
            continue_token: token.map(str::to_owned),
            ..ListParams::default()
        };
        let answer = async {
            Body::new(self.access.list(&part.path, &params).await?)
                .whole()
                .await
        };
        timeout(ANSWER, answer).await.map_err(|_| late())?
    }

    /// Says what changes, until the watch ends.
    async fn watch(
        &self,
        index: usize,
        part: &Part,
        version: &mut String,
        backoff: &mut Backoff,
    ) -> Result<End, Stop> {
        let mut body = match self.open(part, version).await {
            Ok(body) => body,
            Err(Failure::Expired) => return Ok(End::Gap),
            Err(failure) => {
                self.fail(index, failure).await?;
                return Ok(End::Over);
            }
        };
        let mut settled = false;
        loop {
            let patience = if settled { IDLE } else { SETTLED };
            let line = match timeout(patience, body.line()).await {
                Ok(Ok(Some(line))) => line,
                Err(_) if !settled => {
                    settled = true;
                    self.well(index).await?;
                    continue;
                }
                // Too long a line would come again; a list has it.
                Ok(Err(failure @ Failure::TooLong)) => {
                    self.fail(index, failure).await?;
                    return Ok(End::Gap);
                }
                // Watches end; it is trouble only where the next does not begin.
                Ok(Ok(None) | Err(_)) | Err(_) if settled => return Ok(End::Over),
                _ => {
                    let failure = Failure::new(
                        TroubleKind::Unreachable,
                        "the API server ends each watch at once",
                    );
                    self.fail(index, failure).await?;
                    return Ok(End::Over);
                }
            };
            let said = match self.line(line, version) {
                Ok(said) => said,
                Err(Failure::Expired) => return Ok(End::Gap),
                Err(failure) => {
                    self.fail(index, failure).await?;
                    return Ok(End::Gap);
                }
            };
            settled = true;
            backoff.reset();
            self.state().heard = true;
            self.well(index).await?;
            self.say_some(said).await?;
        }
    }

    async fn open(
        &self,
        part: &Part,
        version: &str,
    ) -> Result<Body<impl AsyncBufRead + Unpin + use<K>>, Failure> {
        let params = WatchParams::default().fields(&part.selector).timeout(WATCH);
        let answer = timeout(ANSWER, self.access.watch(&part.path, &params, version)).await;
        Ok(Body::new(answer.map_err(|_| late())??))
    }

    /// What a line of a watch says, and the version after it.
    fn line(&self, line: &[u8], version: &mut String) -> Result<Option<K::Update>, Failure> {
        let odd = |error| Failure::odd(&format!("a line of the watch is none: {error}"));
        let line: Line<'_> = serde_json::from_slice(line).map_err(odd)?;
        let how = match line.r#type.as_str() {
            "ADDED" | "MODIFIED" => How::Changed,
            "DELETED" => How::Deleted,
            "BOOKMARK" => {
                let mark: Bookmark = serde_json::from_str(line.object.get()).map_err(odd)?;
                *version = mark.metadata.resource_version;
                return Ok(None);
            }
            "ERROR" => {
                let status: Status = serde_json::from_str(line.object.get()).map_err(odd)?;
                return Err(Failure::of_status(status.code, &status.message));
            }
            other => return Err(Failure::odd(&format!("a watch says `{other}`"))),
        };
        let said = self.state().kind.read(line.object.get(), how);
        if let Some(now) = said.version {
            *version = now;
        }
        Ok(said.update)
    }

    /// Notes what troubles a part, and says it where no part has had that kind of trouble.
    async fn fail(&self, index: usize, failure: Failure) -> Result<(), Stop> {
        let trouble = match failure {
            Failure::Trouble(trouble) => trouble,
            Failure::TooLong => Trouble {
                kind: TroubleKind::Odd,
                message: "an answer is longer than what is taken: it is asked for in smaller parts"
                    .to_owned(),
            },
            Failure::Expired => return Ok(()),
        };
        if trouble.kind == TroubleKind::Unauthorized {
            self.access.renew().await;
        }
        if self.state().note(index, &trouble) {
            self.say(K::trouble(trouble)).await?;
        }
        Ok(())
    }

    /// Notes that nothing troubles a part, and says so where it was the last with that kind of trouble.
    async fn well(&self, index: usize) -> Result<(), Stop> {
        if self.state().clear(index) {
            self.done().await?;
        }
        Ok(())
    }

    /// Says that no trouble is left, and then what is.
    async fn done(&self) -> Result<(), Stop> {
        self.say(K::done()).await?;
        let mut left: Vec<Trouble> = Vec::new();
        for trouble in self.state().troubles.iter().flatten() {
            if left.iter().all(|other| other.kind != trouble.kind) {
                left.push(trouble.clone());
            }
        }
        for trouble in left {
            self.say(K::trouble(trouble)).await?;
        }
        Ok(())
    }

    fn is_forbidden(&self, index: usize) -> bool {
        let state = self.state();
        let trouble = state.troubles.get(index).and_then(Option::as_ref);
        trouble.is_some_and(|trouble| trouble.kind == TroubleKind::Forbidden)
    }

    async fn say_some(&self, update: Option<K::Update>) -> Result<(), Stop> {
        match update {
            Some(update) => self.say(update).await,
            None => Ok(()),
        }
    }

    /// Waits where whoever listens is slow: then the API server waits, too.
    async fn say(&self, update: K::Update) -> Result<(), Stop> {
        self.said.send(update).await.map_err(|_| Stop::Gone)
    }

    /// Never held over an `await`.
    fn state(&self) -> MutexGuard<'_, State<K>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn late() -> Failure {
    let text = format!(
        "the API server did not answer within {} s",
        ANSWER.as_secs()
    );
    Failure::new(TroubleKind::Unreachable, &text)
}
