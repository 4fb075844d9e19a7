//! Watches one target: a field selector in a namespace, or in all of them.
//!
//! `kube::runtime::watcher` lists, watches, resumes and relists. This module adds what the contract
//! of a source needs: the end of an outage, which `watcher` does not report; a back-off; a restart
//! where `watcher` would repeat a request that cannot succeed.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{BoxStream, StreamExt as _};
use kube::Api;
use kube::runtime::watcher::{self, Event, watcher};
use pulltrace_core::backoff::Backoff;
use tokio::sync::watch;
use tokio::time::timeout;

use super::client::ApiClient;
use super::failure::{RESPONSE_TIMEOUT, WatchFailure, request_backoff, wait_before_retry};
use super::object::{Object, ObjectFields};
use crate::cluster::SourceFailureKind;

/// Objects per page of a list.
pub(super) const PAGE_SIZE: u32 = 500;

/// Watch timeout in seconds; the next watch resumes from there.
const WATCH_TIMEOUT_SECS: u32 = 240;

/// A watch that lasts this long is considered established: an API server reports immediately if it
/// cannot serve one.
const SETTLE_TIME: Duration = Duration::from_secs(1);

/// The next signal of a target.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "handled at once, never stored")]
pub(super) enum Signal<F> {
    Event(Event<Object<F>>),
    /// The watch is established.
    Established,
    /// A request failed. It is repeated after a delay, or restarted with a list.
    Failed(WatchFailure),
}

/// The watcher of a target.
pub(super) struct TargetWatcher<F: ObjectFields> {
    api: Api<Object<F>>,
    config: watcher::Config,
    events: BoxStream<'static, watcher::Result<Event<Object<F>>>>,
    /// True if the API server has accepted a watch; false again once that is handled.
    accepted: Arc<watch::Sender<bool>>,
    backoff: Backoff,
    failed: bool,
    listing: bool,
    established: bool,
}

impl<F: ObjectFields> TargetWatcher<F> {
    /// Creates a watcher, which starts with a list. Without a namespace, it watches all of them.
    pub(super) fn new(
        client: &ApiClient,
        namespace: Option<&str>,
        selector: &str,
        page_size: u32,
    ) -> Self {
        let accepted = Arc::new(watch::Sender::new(false));
        let client = client.for_watcher(&accepted);
        let api = match namespace {
            Some(name) => Api::namespaced(client, name),
            None => Api::all(client),
        };
        let config = watcher::Config::default()
            .fields(selector)
            .page_size(page_size)
            .timeout(WATCH_TIMEOUT_SECS);
        Self {
            events: watcher(api.clone(), config.clone()).boxed(),
            api,
            config,
            accepted,
            backoff: request_backoff(),
            failed: false,
            listing: true,
            established: false,
        }
    }

    /// Returns the number of objects per page. It becomes smaller if a page was too large.
    pub(super) fn page_size(&self) -> u32 {
        self.config.page_size.unwrap_or(PAGE_SIZE)
    }

    /// Waits for the next signal. Not cancel-safe.
    pub(super) async fn next(&mut self) -> Signal<F> {
        if std::mem::take(&mut self.failed) {
            wait_before_retry(&mut self.backoff).await;
        }
        let failure = tokio::select! {
            biased;
            event = next_event(&mut self.events, self.listing) => match event {
                Ok(event) => {
                    match event {
                        // Precedes the request.
                        Event::Init => self.listing = true,
                        Event::InitDone => self.listing = false,
                        Event::InitApply(_) => {}
                        Event::Apply(_) | Event::Delete(_) => self.established = true,
                    }
                    if !matches!(event, Event::Init) {
                        self.backoff.reset();
                    }
                    return Signal::Event(event);
                }
                Err(failure) => failure,
            },
            established = is_established(&self.accepted) => {
                if established {
                    self.established = true;
                    self.accepted.send_replace(false);
                    self.backoff.reset();
                    return Signal::Established;
                }
                WatchFailure::Disconnected
            }
        };
        self.failed = true;
        self.accepted.send_replace(false);
        if failure.needs_list() {
            if self.listing && matches!(failure, WatchFailure::TooLong) {
                let page_size = self.page_size() / 8;
                self.config.page_size = Some(page_size.max(1));
            }
            self.events = watcher(self.api.clone(), self.config.clone()).boxed();
        }
        // Watches end regularly. It is a failure only if the next one is not established.
        let was_established = std::mem::take(&mut self.established);
        match failure {
            WatchFailure::Disconnected if !was_established => Signal::Failed(closed_immediately()),
            failure => Signal::Failed(failure),
        }
    }
}

async fn next_event<F: ObjectFields>(
    events: &mut BoxStream<'static, watcher::Result<Event<Object<F>>>>,
    listing: bool,
) -> Result<Event<Object<F>>, WatchFailure> {
    let next = events.next();
    // The watcher itself notices a silent watch, but not a page of a list that never ends.
    let event = if listing {
        timeout(RESPONSE_TIMEOUT, next).await.map_err(|_| WatchFailure::list_timeout())?
    } else {
        next.await
    };
    event.unwrap_or(Err(watcher::Error::NoResourceVersion)).map_err(WatchFailure::from)
}

/// Waits until a watch is established. Returns false if it was closed before and is requested
/// again.
async fn is_established(accepted: &watch::Sender<bool>) -> bool {
    let mut accepted = accepted.subscribe();
    // Fails only without a sender.
    accepted.wait_for(|accepted| *accepted).await.is_ok()
        && timeout(SETTLE_TIME, accepted.changed()).await.is_err()
}

fn closed_immediately() -> WatchFailure {
    WatchFailure::new(
        SourceFailureKind::Unreachable,
        "the API server closes each watch immediately",
    )
}
