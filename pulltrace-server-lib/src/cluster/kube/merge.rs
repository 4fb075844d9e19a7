//! Merges the watchers of all targets of one kind into one stream that keeps the contract of a
//! source.
//!
//! The targets are listed one after another, page by page, so that at most one page is in memory;
//! then all are watched concurrently. After a gap, kinds with deletions are relisted completely;
//! otherwise only the affected target is listed again.

use std::convert::Infallible;
use std::fmt::Debug;
use std::pin::Pin;

use futures_util::stream::{self, SelectAll, Stream, StreamExt as _};
use kube::runtime::watcher::Event;
use tokio::sync::mpsc;
use tracing::debug;

use super::client::ApiClient;
use super::failure::{WatchFailure, request_backoff, wait_before_retry};
use super::object::{Object, ObjectFields};
use super::target::{PAGE_SIZE, Signal, TargetWatcher};
use crate::cluster::{SourceFailure, SourceFailureKind};

/// A kind of object, and the updates its source sends.
pub(super) trait WatchedResource: Send + Sync + Debug + 'static {
    /// The fields of the object that are in use.
    type Fields: ObjectFields;
    /// The update type of the source.
    type Update: Send + Debug + 'static;

    /// True if objects missing from a new list are deleted. If so, a gap requires a complete
    /// relist.
    const HAS_DELETIONS: bool;

    /// The field selectors, each with a list and a watch.
    fn selectors() -> Vec<String>;

    fn init_update() -> Self::Update;
    fn init_done_update() -> Self::Update;
    fn failing_update(failure: SourceFailure) -> Self::Update;
    fn malformed_update() -> Self::Update;

    /// Converts an object into an update, if there is one.
    fn parse(&mut self, fields: &Self::Fields, how: ObjectChange) -> Option<Self::Update>;
}

/// The way an object was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ObjectChange {
    Listed,
    Changed,
    Deleted,
}

/// The signals of all targets, with the index of each.
type Signals<F> = SelectAll<Pin<Box<dyn Stream<Item = (usize, Signal<F>)> + Send>>>;

/// A selector in a namespace, or in all of them.
#[derive(Debug)]
struct Target {
    namespace: Option<String>,
    selector: String,
    /// Objects per page of a list.
    page_size: u32,
    failure: Option<SourceFailure>,
}

#[derive(Debug)]
pub(super) struct Merge<K: WatchedResource> {
    client: ApiClient,
    parser: K,
    targets: Vec<Target>,
    updates: mpsc::Sender<K::Update>,
    /// True if the list since `Init` is complete, even if failures prevented `InitDone`.
    listed: bool,
    /// True if a watch received anything since `Init`.
    received: bool,
}

/// The reason why all targets stop.
#[derive(Debug)]
enum StopReason {
    /// The receiver was dropped.
    ReceiverDropped,
    /// Everything must be relisted.
    Relist,
}

impl<K: WatchedResource> Merge<K> {
    /// Watches these namespaces; an empty slice means all.
    pub(super) fn new(
        client: ApiClient,
        namespaces: &[String],
        parser: K,
        updates: mpsc::Sender<K::Update>,
    ) -> Self {
        let namespaces: Vec<Option<String>> = if namespaces.is_empty() {
            vec![None]
        } else {
            namespaces.iter().cloned().map(Some).collect()
        };
        let targets = |namespace: &Option<String>| {
            let namespace = namespace.clone();
            K::selectors().into_iter().map(move |selector| Target {
                namespace: namespace.clone(),
                selector,
                page_size: PAGE_SIZE,
                failure: None,
            })
        };
        let targets = namespaces.iter().flat_map(targets).collect();
        Self { client, parser, targets, updates, listed: false, received: false }
    }

    /// Runs until the receiver is dropped.
    pub(super) async fn run(mut self) {
        let mut backoff = request_backoff();
        loop {
            match self.list_and_watch().await {
                Err(StopReason::ReceiverDropped) => return,
                Err(StopReason::Relist) => {}
                Ok(never) => match never {},
            }
            debug!(kind = K::Fields::KIND, "watch expired; relisting");
            if self.received {
                backoff.reset();
            }
            wait_before_retry(&mut backoff).await;
        }
    }

    async fn list_and_watch(&mut self) -> Result<Infallible, StopReason> {
        (self.listed, self.received) = (false, false);
        self.send(K::init_update()).await?;
        let mut signals = Signals::new();
        let mut any_listed = false;
        for index in 0..self.targets.len() {
            let Some(target) = self.targets.get(index) else { break };
            let (namespace, selector) = (target.namespace.as_deref(), &target.selector);
            let mut watcher =
                TargetWatcher::new(&self.client, namespace, selector, target.page_size);
            any_listed |= self.list(index, &mut watcher).await?;
            signals.push(Box::pin(stream::unfold(watcher, move |mut watcher| async move {
                let signal = watcher.next().await;
                Some(((index, signal), watcher))
            })));
        }
        self.listed = true;
        if any_listed {
            self.send_init_done().await?;
        }
        loop {
            let Some((index, signal)) = signals.next().await else {
                return Err(StopReason::Relist);
            };
            self.apply(index, signal).await?;
        }
    }

    /// Sends the objects of a target. Returns false if listing it is forbidden.
    async fn list(
        &mut self,
        index: usize,
        watcher: &mut TargetWatcher<K::Fields>,
    ) -> Result<bool, StopReason> {
        let mut sent_any = false;
        loop {
            match watcher.next().await {
                Signal::Event(Event::InitApply(object)) => {
                    sent_any = true;
                    self.send_object(&object, ObjectChange::Listed).await?;
                }
                Signal::Event(Event::InitDone) => {
                    self.record_success(index).await?;
                    return Ok(true);
                }
                Signal::Failed(failure) => {
                    self.record_failure(index, failure).await?;
                    // The objects sent so far may be gone before the list is complete.
                    if K::HAS_DELETIONS && sent_any {
                        if let Some(target) = self.targets.get_mut(index) {
                            target.page_size = watcher.page_size();
                        }
                        return Err(StopReason::Relist);
                    }
                    if self.is_forbidden(index) {
                        return Ok(false);
                    }
                }
                Signal::Event(Event::Init | Event::Apply(_) | Event::Delete(_))
                | Signal::Established => {}
            }
        }
    }

    /// Applies a signal after the list.
    async fn apply(&mut self, index: usize, signal: Signal<K::Fields>) -> Result<(), StopReason> {
        match signal {
            Signal::Event(Event::Init) => Ok(()),
            // Listing it was forbidden before.
            Signal::Event(Event::InitApply(_) | Event::InitDone) if K::HAS_DELETIONS => {
                Err(StopReason::Relist)
            }
            Signal::Event(Event::InitApply(object)) => {
                self.send_object(&object, ObjectChange::Changed).await
            }
            Signal::Event(Event::InitDone) | Signal::Established => {
                self.record_success(index).await
            }
            Signal::Event(Event::Apply(object)) => {
                self.received = true;
                self.record_success(index).await?;
                self.send_object(&object, ObjectChange::Changed).await
            }
            Signal::Event(Event::Delete(object)) => {
                self.received = true;
                self.record_success(index).await?;
                self.send_object(&object, ObjectChange::Deleted).await
            }
            Signal::Failed(failure) => {
                let needs_list = failure.needs_list();
                self.record_failure(index, failure).await?;
                if K::HAS_DELETIONS && needs_list { Err(StopReason::Relist) } else { Ok(()) }
            }
        }
    }

    /// Records the failure of a target, and sends it if no target had a failure of this kind.
    async fn record_failure(
        &mut self,
        index: usize,
        failure: WatchFailure,
    ) -> Result<(), StopReason> {
        let failure = match failure {
            WatchFailure::Request(failure) | WatchFailure::Watch(failure) => failure,
            WatchFailure::TooLong => SourceFailure {
                kind: SourceFailureKind::Malformed,
                message: "response too large; retrying with smaller pages".to_owned(),
            },
            WatchFailure::Expired | WatchFailure::Disconnected => return Ok(()),
        };
        if failure.kind == SourceFailureKind::Unauthorized {
            self.client.reload_credentials().await;
        }
        let is_new = self.failures().all(|known| known.kind != failure.kind);
        if let Some(target) = self.targets.get_mut(index) {
            target.failure = Some(failure.clone());
        }
        if is_new { self.send(K::failing_update(failure)).await } else { Ok(()) }
    }

    /// Clears the failure of a target, and sends `InitDone` if it was the last of its kind.
    async fn record_success(&mut self, index: usize) -> Result<(), StopReason> {
        let cleared = self.targets.get_mut(index).and_then(|target| target.failure.take());
        match cleared {
            Some(cleared)
                if self.listed && self.failures().all(|other| other.kind != cleared.kind) =>
            {
                self.send_init_done().await
            }
            _ => Ok(()),
        }
    }

    /// Sends `InitDone`, followed by the remaining failures.
    async fn send_init_done(&self) -> Result<(), StopReason> {
        self.send(K::init_done_update()).await?;
        let mut left: Vec<&SourceFailure> = Vec::new();
        for failure in self.failures() {
            if left.iter().all(|other| other.kind != failure.kind) {
                left.push(failure);
                self.send(K::failing_update(failure.clone())).await?;
            }
        }
        Ok(())
    }

    fn failures(&self) -> impl Iterator<Item = &SourceFailure> {
        self.targets.iter().filter_map(|target| target.failure.as_ref())
    }

    fn is_forbidden(&self, index: usize) -> bool {
        let failure = self.targets.get(index).and_then(|target| target.failure.as_ref());
        failure.is_some_and(|failure| failure.kind == SourceFailureKind::Forbidden)
    }

    async fn send_object(
        &mut self,
        object: &Object<K::Fields>,
        how: ObjectChange,
    ) -> Result<(), StopReason> {
        let update = match &object.fields {
            Some(fields) => self.parser.parse(fields, how),
            None => Some(K::malformed_update()),
        };
        match update {
            Some(update) => self.send(update).await,
            None => Ok(()),
        }
    }

    /// Waits if the receiver is slow, which in turn slows down reading from the API server.
    async fn send(&self, update: K::Update) -> Result<(), StopReason> {
        self.updates.send(update).await.map_err(|_| StopReason::ReceiverDropped)
    }
}
