//! Pods and kubelet events from an API server: the only place that names kube's types.
//!
//! A file uses only what stands above it: `intern` `trouble` `read`, then `access`, `feed`, `pod` and
//! `event`, which say what is asked for and how it is read.

mod access;
mod event;
mod feed;
mod intern;
mod pod;
mod read;
mod trouble;

use std::error::Error;
use std::path::PathBuf;

use pulltrace_core::KubeName;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use self::access::Access;
use self::event::Events;
use self::feed::{Feed, Kind};
use self::pod::Pods;
use super::{PodSource, PodUpdate, PullEventSource, PullEventUpdate};

/// What may wait for whoever listens, in updates. Then the source does not read on, and the API server waits.
const CAPACITY: usize = 1_024;

/// The most namespaces that are watched one by one: each is six watches.
pub const MOST_NAMESPACES: usize = 100;

/// Which API server, and what of it.
///
/// ```no_run
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use pulltrace_server_lib::cluster::{PodSource, kube};
///
/// let config = kube::Config {
///     context: Some("staging".to_owned()),
///     namespaces: vec!["shop".to_owned()],
///     ..kube::Config::default()
/// };
/// let (mut pods, _events) = config.connect().await?;
/// while let Some(update) = pods.next().await {
///     println!("{update:?}");
/// }
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// A file as `kubectl` reads it. None is the one that `kubectl` would find (`$KUBECONFIG`,
    /// `~/.kube/config`), or else, within a cluster, the service account of the pod.
    pub kubeconfig: Option<PathBuf>,
    /// Which of the kubeconfig's contexts; none is the current one.
    pub context: Option<String>,
    /// The namespaces that are watched, at most [`MOST_NAMESPACES`]; none are all.
    pub namespaces: Vec<String>,
}

/// Why there is no way to an API server.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The kubeconfig cannot be read, or has not what it must have. A retry helps once the file is another.
    #[error("the kubeconfig {name} cannot be used: check the file, and the name of the context")]
    Kubeconfig {
        /// Which.
        name: String,
        /// Why.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// There is no kubeconfig, and this is no pod with a service account. A retry does not help.
    #[error("no API server was found: name a kubeconfig, or run in a pod with a service account")]
    NoCluster(#[source] Box<dyn Error + Send + Sync>),
    /// Certificates, token or exec plug-in are not usable. A retry helps where the plug-in failed.
    #[error(
        "no client of the API server could be made: check certificates, token and exec plug-in"
    )]
    Client(#[source] Box<dyn Error + Send + Sync>),
    /// This is no name of a namespace. A retry does not help.
    #[error("no namespace: `{0}`: name them as `kubectl get namespaces` does")]
    Namespace(String),
    /// More than [`MOST_NAMESPACES`]. A retry does not help.
    #[error(
        "{0} namespaces are more than {MOST_NAMESPACES}: watch all instead, and filter what is read"
    )]
    TooManyNamespaces(usize),
}

impl Config {
    /// Makes both sources, which begin to list. That the API server can be reached is not awaited: where it
    /// cannot, the sources say so, and go on. Must be called within a tokio runtime, which both live in.
    ///
    /// # Errors
    /// Where there is no way to an API server.
    pub async fn connect(&self) -> Result<(KubePods, KubePullEvents), ConnectError> {
        let mut namespaces = self.namespaces.clone();
        namespaces.sort();
        namespaces.dedup();
        if namespaces.len() > MOST_NAMESPACES {
            return Err(ConnectError::TooManyNamespaces(namespaces.len()));
        }
        for name in &namespaces {
            // One with a dot in it would be a valid name, but of nothing that has pods.
            if name.parse::<KubeName>().is_err() || name.contains('.') {
                return Err(ConnectError::Namespace(name.chars().take(64).collect()));
            }
        }
        let access = Access::new(self.clone()).await?;
        let pods = Source::new(access.clone(), &namespaces, Pods::default());
        let events = Source::new(access, &namespaces, Events::default());
        Ok((KubePods(pods), KubePullEvents(events)))
    }
}

/// The pods of a cluster that have a node and have not finished.
#[derive(Debug)]
pub struct KubePods(Source<PodUpdate>);

/// What the kubelets of a cluster say of images.
#[derive(Debug)]
pub struct KubePullEvents(Source<PullEventUpdate>);

impl PodSource for KubePods {
    async fn next(&mut self) -> Option<PodUpdate> {
        self.0.updates.recv().await
    }
}

impl PullEventSource for KubePullEvents {
    async fn next(&mut self) -> Option<PullEventUpdate> {
        self.0.updates.recv().await
    }
}

/// What a task says that ends with this.
#[derive(Debug)]
struct Source<U> {
    updates: mpsc::Receiver<U>,
    task: JoinHandle<()>,
}

impl<U: Send + 'static> Source<U> {
    fn new<K: Kind<Update = U>>(access: Access, namespaces: &[String], kind: K) -> Self {
        let (said, updates) = mpsc::channel(CAPACITY);
        let task = tokio::spawn(Feed::new(access, namespaces, kind, said).run());
        Self { updates, task }
    }
}

impl<U> Drop for Source<U> {
    fn drop(&mut self) {
        self.task.abort();
    }
}
