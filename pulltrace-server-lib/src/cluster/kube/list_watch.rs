//! Lists and watches one kind of object and merges the results into one stream that keeps the
//! contract of a source.
//!
//! All targets (a selector in a namespace) are listed one after another, page by page, so that at
//! most one page is in memory; then all are watched concurrently. After a gap, kinds with deletions
//! are relisted completely; otherwise only the affected target is listed again.

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

use super::client::ApiClient;
use super::failure::{RequestError, request_backoff, wait_before_retry};
use super::response::{Bookmark, ErrorStatus, ListPage, ResponseReader, WatchLine};
use crate::cluster::{SourceFailure, SourceFailureKind};
use pulltrace_core::backoff::Backoff;

/// Objects per page.
const PAGE_SIZE: u32 = 500;

/// Timeout for a page of a list, and for the response head of a watch.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(60);

/// Watch timeout in seconds; the next watch resumes from there.
const WATCH_TIMEOUT_SECS: u32 = 240;

/// A watch that stays silent past its timeout is considered dead.
const IDLE_TIMEOUT: Duration = Duration::from_secs(WATCH_TIMEOUT_SECS as u64 + 15);

/// A watch that lasts this long is considered established: an API server reports immediately if it
/// cannot serve one.
const SETTLE_TIME: Duration = Duration::from_secs(1);

/// A kind of object, and the updates its source sends.
pub(super) trait WatchedResource: Send + Debug + 'static {
    /// The update type of the source.
    type Update: Send + Debug + 'static;

    /// The name of the resource in a path.
    const PLURAL: &'static str;

    /// True if objects missing from a new list are deleted. If so, a gap requires a complete
    /// relist.
    const HAS_DELETIONS: bool;

    /// The field selectors, each with a list and a watch.
    fn selectors() -> Vec<String>;

    fn init_update() -> Self::Update;
    fn init_done_update() -> Self::Update;
    fn failing_update(trouble: SourceFailure) -> Self::Update;

    /// Parses an object into an update.
    fn parse_object(&mut self, object: &str, how: ObjectChange) -> ParsedObject<Self::Update>;
}

/// The way an object was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ObjectChange {
    Listed,
    Changed,
    Deleted,
}

/// The update from an object, if any, and the object's resource version.
#[derive(Debug)]
pub(super) struct ParsedObject<U> {
    pub(super) update: Option<U>,
    pub(super) version: Option<String>,
}

/// A path and selector to list and watch.
#[derive(Debug)]
struct WatchTarget {
    path: String,
    selector: String,
}

#[derive(Debug)]
pub(super) struct ListWatch<K: WatchedResource> {
    access: ApiClient,
    targets: Vec<WatchTarget>,
    updates: mpsc::Sender<K::Update>,
    state: Mutex<ListWatchState<K>>,
}

#[derive(Debug)]
struct ListWatchState<K> {
    parser: K,
    /// Per target.
    failures: Vec<Option<SourceFailure>>,
    /// True if the list since `Init` is complete, even if failures prevented `InitDone`.
    listed: bool,
    /// True if a watch received anything since `Init`.
    received: bool,
}

impl<K> ListWatchState<K> {
    /// Records the failure of a target. Returns whether no target had a failure of this kind.
    fn set_failure(&mut self, index: usize, failure: &SourceFailure) -> bool {
        let mut known = self.failures.iter().flatten();
        let is_new = known.all(|known| known.kind != failure.kind);
        if let Some(current) = self.failures.get_mut(index) {
            *current = Some(failure.clone());
        }
        is_new
    }

    /// Clears the failure of a target. Returns whether it was the last of its kind and `InitDone`
    /// is due.
    fn clear_failure(&mut self, index: usize) -> bool {
        let Some(cleared) = self.failures.get_mut(index).and_then(Option::take) else {
            return false;
        };
        let mut others = self.failures.iter().flatten();
        self.listed && others.all(|other| other.kind != cleared.kind)
    }
}

/// The reason why a target stops.
#[derive(Debug)]
enum StopReason {
    /// The receiver was dropped.
    ReceiverDropped,
    /// Everything must be relisted.
    Relist,
}

/// The end of a watch.
#[derive(Debug, PartialEq, Eq)]
enum WatchEnd {
    /// It can be resumed at the last version.
    Resumable,
    /// It cannot be resumed.
    Expired,
}

impl<K: WatchedResource> ListWatch<K> {
    /// Watches these namespaces; an empty slice means all.
    pub(super) fn new(
        access: ApiClient,
        namespaces: &[String],
        kind: K,
        updates: mpsc::Sender<K::Update>,
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
            K::selectors()
                .into_iter()
                .map(move |selector| WatchTarget { path: path.clone(), selector })
        };
        let targets: Vec<WatchTarget> = paths.iter().flat_map(part).collect();
        let state = ListWatchState {
            parser: kind,
            failures: vec![None; targets.len()],
            listed: false,
            received: false,
        };
        Self { access, targets, updates, state: Mutex::new(state) }
    }

    /// Runs until the receiver is dropped.
    pub(super) async fn run(self) {
        let mut backoff = request_backoff();
        loop {
            let stop = match self.list_all().await {
                Ok(versions) => self.watch_all(versions).await,
                Err(stop) => stop,
            };
            match stop {
                StopReason::ReceiverDropped => return,
                StopReason::Relist => debug!(kind = K::PLURAL, "watch expired; relisting"),
            }
            if self.state().received {
                backoff.reset();
            }
            wait_before_retry(&mut backoff).await;
        }
    }

    /// Lists all objects. Returns the resource version of each target, or `None` for a forbidden
    /// one.
    async fn list_all(&self) -> Result<Vec<Option<String>>, StopReason> {
        self.reset_state();
        self.send(K::init_update()).await?;
        let mut versions = Vec::new();
        for part in &self.targets {
            versions.push(self.list_target(versions.len(), part, ObjectChange::Listed).await?);
        }
        self.state().listed = true;
        if versions.iter().any(Option::is_some) {
            self.send_init_done().await?;
        }
        Ok(versions)
    }

    fn reset_state(&self) {
        let mut state = self.state();
        (state.listed, state.received) = (false, false);
    }

    async fn watch_all(&self, versions: Vec<Option<String>>) -> StopReason {
        let follow = |(index, (part, version))| self.watch_target(index, part, version);
        let parts = self.targets.iter().zip(versions).enumerate();
        let mut parts: FuturesUnordered<_> = parts.map(follow).collect();
        match parts.next().await {
            Some(Err(stop)) => stop,
            Some(Ok(never)) => match never {},
            None => StopReason::ReceiverDropped,
        }
    }

    async fn watch_target(
        &self,
        index: usize,
        part: &WatchTarget,
        mut version: Option<String>,
    ) -> Result<Infallible, StopReason> {
        let mut backoff = request_backoff();
        loop {
            match &mut version {
                Some(from) => match self.watch_once(index, part, from, &mut backoff).await? {
                    WatchEnd::Resumable => {}
                    WatchEnd::Expired if K::HAS_DELETIONS => return Err(StopReason::Relist),
                    WatchEnd::Expired => version = None,
                },
                // It was forbidden. Once it can be read, everything must be relisted.
                None if K::HAS_DELETIONS => match self.fetch_page(part, None, 1).await {
                    Ok(_) => return Err(StopReason::Relist),
                    Err(failure) => self.record_failure(index, failure).await?,
                },
                None => version = self.list_target(index, part, ObjectChange::Changed).await?,
            }
            wait_before_retry(&mut backoff).await;
        }
    }

    /// Lists the objects of a target. Returns the list's resource version, or `None` if it is
    /// forbidden.
    async fn list_target(
        &self,
        index: usize,
        part: &WatchTarget,
        how: ObjectChange,
    ) -> Result<Option<String>, StopReason> {
        let (mut token, mut limit) = (None, PAGE_SIZE);
        let mut backoff = request_backoff();
        loop {
            let page = self.fetch_page(part, token.as_deref(), limit).await;
            let parsed = page.as_deref().map(serde_json::from_slice::<ListPage<'_>>);
            let failure = match parsed {
                Ok(Ok(page)) => {
                    for object in page.items.iter().flatten() {
                        let parsed = self.state().parser.parse_object(object.get(), how);
                        self.send_if_some(parsed.update).await?;
                    }
                    backoff.reset();
                    token = page.metadata.r#continue.filter(|token| !token.is_empty());
                    if token.is_some() {
                        continue;
                    }
                    self.record_success(index).await?;
                    return Ok(Some(page.metadata.resource_version));
                }
                Ok(Err(error)) => RequestError::malformed(&format!("invalid list: {error}")),
                Err(failure) => failure.clone(),
            };
            match failure {
                // The receiver was slow, and the pages sent so far may be stale.
                RequestError::Expired if K::HAS_DELETIONS && token.is_some() => {
                    return Err(StopReason::Relist);
                }
                RequestError::Expired => token = None,
                RequestError::TooLong => limit = (limit / 8).max(1),
                RequestError::Failed(_) => {}
            }
            self.record_failure(index, failure).await?;
            if self.is_forbidden(index) {
                return Ok(None);
            }
            wait_before_retry(&mut backoff).await;
        }
    }

    async fn fetch_page(
        &self,
        part: &WatchTarget,
        token: Option<&str>,
        limit: u32,
    ) -> Result<Vec<u8>, RequestError> {
        let params = ListParams {
            field_selector: Some(part.selector.clone()),
            limit: Some(limit),
            continue_token: token.map(str::to_owned),
            ..ListParams::default()
        };
        let answer = async {
            ResponseReader::new(self.access.list(&part.path, &params).await?).read_to_end().await
        };
        timeout(RESPONSE_TIMEOUT, answer).await.map_err(|_| response_timeout())?
    }

    /// Sends changes until the watch ends.
    async fn watch_once(
        &self,
        index: usize,
        part: &WatchTarget,
        version: &mut String,
        backoff: &mut Backoff,
    ) -> Result<WatchEnd, StopReason> {
        let mut body = match self.open_watch(part, version).await {
            Ok(body) => body,
            Err(RequestError::Expired) => return Ok(WatchEnd::Expired),
            Err(failure) => {
                self.record_failure(index, failure).await?;
                return Ok(WatchEnd::Resumable);
            }
        };
        let mut settled = false;
        loop {
            let patience = if settled { IDLE_TIMEOUT } else { SETTLE_TIME };
            let line = match timeout(patience, body.next_line()).await {
                Ok(Ok(Some(line))) => line,
                Err(_) if !settled => {
                    settled = true;
                    self.record_success(index).await?;
                    continue;
                }
                // An overlong line would be sent again; a list includes the object.
                Ok(Err(failure @ RequestError::TooLong)) => {
                    self.record_failure(index, failure).await?;
                    return Ok(WatchEnd::Expired);
                }
                // Watches end regularly. It is a failure only if the next one cannot be
                // established.
                Ok(Ok(None) | Err(_)) | Err(_) if settled => return Ok(WatchEnd::Resumable),
                _ => {
                    let failure = RequestError::new(
                        SourceFailureKind::Unreachable,
                        "the API server closes each watch immediately",
                    );
                    self.record_failure(index, failure).await?;
                    return Ok(WatchEnd::Resumable);
                }
            };
            let update = match self.parse_line(line, version) {
                Ok(said) => said,
                Err(RequestError::Expired) => return Ok(WatchEnd::Expired),
                Err(failure) => {
                    self.record_failure(index, failure).await?;
                    return Ok(WatchEnd::Expired);
                }
            };
            settled = true;
            backoff.reset();
            self.state().received = true;
            self.record_success(index).await?;
            self.send_if_some(update).await?;
        }
    }

    async fn open_watch(
        &self,
        part: &WatchTarget,
        version: &str,
    ) -> Result<ResponseReader<impl AsyncBufRead + Unpin + use<K>>, RequestError> {
        let params = WatchParams::default().fields(&part.selector).timeout(WATCH_TIMEOUT_SECS);
        let answer =
            timeout(RESPONSE_TIMEOUT, self.access.watch(&part.path, &params, version)).await;
        Ok(ResponseReader::new(answer.map_err(|_| response_timeout())??))
    }

    /// Parses a line of a watch and advances the resource version.
    fn parse_line(
        &self,
        line: &[u8],
        version: &mut String,
    ) -> Result<Option<K::Update>, RequestError> {
        let odd = |error| RequestError::malformed(&format!("invalid line in watch: {error}"));
        let line: WatchLine<'_> = serde_json::from_slice(line).map_err(odd)?;
        let how = match line.r#type.as_str() {
            "ADDED" | "MODIFIED" => ObjectChange::Changed,
            "DELETED" => ObjectChange::Deleted,
            "BOOKMARK" => {
                let mark: Bookmark = serde_json::from_str(line.object.get()).map_err(odd)?;
                *version = mark.metadata.resource_version;
                return Ok(None);
            }
            "ERROR" => {
                let status: ErrorStatus = serde_json::from_str(line.object.get()).map_err(odd)?;
                return Err(RequestError::from_status(status.code, &status.message));
            }
            other => {
                return Err(RequestError::malformed(&format!("unknown watch event `{other}`")));
            }
        };
        let parsed = self.state().parser.parse_object(line.object.get(), how);
        if let Some(now) = parsed.version {
            *version = now;
        }
        Ok(parsed.update)
    }

    /// Records the failure of a target, and sends it if no target had a failure of this kind.
    async fn record_failure(&self, index: usize, failure: RequestError) -> Result<(), StopReason> {
        let trouble = match failure {
            RequestError::Failed(trouble) => trouble,
            RequestError::TooLong => SourceFailure {
                kind: SourceFailureKind::Malformed,
                message: "response too large; retrying with smaller pages".to_owned(),
            },
            RequestError::Expired => return Ok(()),
        };
        if trouble.kind == SourceFailureKind::Unauthorized {
            self.access.reload_credentials().await;
        }
        if self.state().set_failure(index, &trouble) {
            self.send(K::failing_update(trouble)).await?;
        }
        Ok(())
    }

    /// Clears the failure of a target, and sends `InitDone` if it was the last of its kind.
    async fn record_success(&self, index: usize) -> Result<(), StopReason> {
        if self.state().clear_failure(index) {
            self.send_init_done().await?;
        }
        Ok(())
    }

    /// Sends `InitDone`, followed by the remaining failures.
    async fn send_init_done(&self) -> Result<(), StopReason> {
        self.send(K::init_done_update()).await?;
        let mut left: Vec<SourceFailure> = Vec::new();
        for failure in self.state().failures.iter().flatten() {
            if left.iter().all(|other| other.kind != failure.kind) {
                left.push(failure.clone());
            }
        }
        for failure in left {
            self.send(K::failing_update(failure)).await?;
        }
        Ok(())
    }

    fn is_forbidden(&self, index: usize) -> bool {
        let state = self.state();
        let failure = state.failures.get(index).and_then(Option::as_ref);
        failure.is_some_and(|trouble| trouble.kind == SourceFailureKind::Forbidden)
    }

    async fn send_if_some(&self, update: Option<K::Update>) -> Result<(), StopReason> {
        match update {
            Some(update) => self.send(update).await,
            None => Ok(()),
        }
    }

    /// Waits if the receiver is slow, which in turn slows down reading from the API server.
    async fn send(&self, update: K::Update) -> Result<(), StopReason> {
        self.updates.send(update).await.map_err(|_| StopReason::ReceiverDropped)
    }

    /// Never held across an `await`.
    fn state(&self) -> MutexGuard<'_, ListWatchState<K>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn response_timeout() -> RequestError {
    let text = format!("the API server did not answer within {} s", RESPONSE_TIMEOUT.as_secs());
    RequestError::new(SourceFailureKind::Unreachable, &text)
}
