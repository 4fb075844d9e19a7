//! Pods and kubelet events from an API server. This is the only module that uses kube's types.
//!
//! kube logs a response that it cannot parse in full (target `kube_client`, level `warn`). Pods may
//! contain secrets, so a program should turn that target off; the sources report the error.
//!
//! Dependencies between files go one way: `intern`, `failure` and `object` at the bottom, then
//! `client`, `target`, `merge`, and finally `pod` and `event`, which define the selectors and parse
//! objects.

mod client;
mod config;
mod event;
mod failure;
mod intern;
mod merge;
mod object;
mod pod;
mod target;

use pulltrace_core::KubeName;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use self::client::ApiClient;
pub use self::config::{Config, ConnectError, MOST_NAMESPACES};
use self::event::EventParser;
use self::merge::{Merge, WatchedResource};
use self::pod::PodParser;
use super::{PodSource, PodUpdate, PullEventSource, PullEventUpdate, SourceError};

/// Maximum number of updates queued for the receiver. When it is reached, the source stops reading,
/// which slows down the API server.
const CAPACITY: usize = 1_024;

impl Config {
    /// Creates both sources, which start listing immediately. Does not wait for the API server: if
    /// it is unreachable, the sources report that and retry. Must be called within a tokio runtime,
    /// which runs their tasks.
    ///
    /// # Errors
    /// Fails if no client can be created.
    pub async fn connect(&self) -> Result<(KubePods, KubePullEvents), ConnectError> {
        let mut namespaces = self.namespaces.clone();
        namespaces.sort();
        namespaces.dedup();
        if namespaces.len() > MOST_NAMESPACES {
            return Err(ConnectError::TooManyNamespaces(namespaces.len()));
        }
        for name in &namespaces {
            // A name with a dot would be valid, but no namespace can have it.
            if name.parse::<KubeName>().is_err() || name.contains('.') {
                return Err(ConnectError::Namespace(name.chars().take(64).collect()));
            }
        }
        let access = ApiClient::new(self.clone()).await?;
        let pods = WatchTask::new(access.clone(), &namespaces, PodParser::default());
        let events = WatchTask::new(access, &namespaces, EventParser::default());
        Ok((KubePods(pods), KubePullEvents(events)))
    }
}

/// The pods of a cluster that are assigned to a node and have not finished.
#[derive(Debug)]
pub struct KubePods(WatchTask<PodUpdate>);

/// Kubelet events about images.
#[derive(Debug)]
pub struct KubePullEvents(WatchTask<PullEventUpdate>);

impl PodSource for KubePods {
    async fn next(&mut self) -> Result<Option<PodUpdate>, SourceError> {
        self.0.next().await
    }
}

impl PullEventSource for KubePullEvents {
    async fn next(&mut self) -> Result<Option<PullEventUpdate>, SourceError> {
        self.0.next().await
    }
}

/// The updates of a task, which is aborted on drop.
#[derive(Debug)]
struct WatchTask<U> {
    updates: mpsc::Receiver<U>,
    task: JoinHandle<()>,
}

impl<U: Send + 'static> WatchTask<U> {
    fn new<K: WatchedResource<Update = U>>(
        access: ApiClient,
        namespaces: &[String],
        kind: K,
    ) -> Self {
        let (sender, updates) = mpsc::channel(CAPACITY);
        let task = tokio::spawn(Merge::new(access, namespaces, kind, sender).run());
        Self { updates, task }
    }

    /// The task only stops by a panic.
    async fn next(&mut self) -> Result<Option<U>, SourceError> {
        self.updates.recv().await.map(Some).ok_or(SourceError::Stopped)
    }
}

impl<U> Drop for WatchTask<U> {
    fn drop(&mut self) {
        self.task.abort();
    }
}
