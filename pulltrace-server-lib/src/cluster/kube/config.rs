//! The connection to an API server: its settings, and why it failed.

use std::error::Error;
use std::path::PathBuf;

/// Maximum number of namespaces that can be watched individually; each takes six watches.
pub const MOST_NAMESPACES: usize = 100;

/// The API server to connect to, and the namespaces to watch.
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
/// while let Some(update) = pods.next().await? {
///     println!("{update:?}");
/// }
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// The kubeconfig file. If `None`, the one `kubectl` would use (`$KUBECONFIG`,
    /// `~/.kube/config`), otherwise the pod's service account.
    pub kubeconfig: Option<PathBuf>,
    /// The kubeconfig's context. If `None`, the current one.
    pub context: Option<String>,
    /// The namespaces to watch, at most [`MOST_NAMESPACES`]. Empty means all.
    pub namespaces: Vec<String>,
}

/// A failure to create the client for the API server.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The kubeconfig cannot be read or is incomplete. A retry does not help until it is fixed.
    #[error("failed to load kubeconfig {name}")]
    Kubeconfig {
        /// The file.
        name: String,
        /// The cause.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// There is neither a kubeconfig nor a service account. A retry does not help.
    #[error("no API server configured")]
    NoCluster(#[source] Box<dyn Error + Send + Sync>),
    /// Certificates, token or exec plug-in are unusable. A retry may help if the plug-in failed.
    #[error("failed to create an API server client")]
    Client(#[source] Box<dyn Error + Send + Sync>),
    /// An invalid namespace name. A retry does not help.
    #[error("invalid namespace `{0}`")]
    Namespace(String),
    /// More than [`MOST_NAMESPACES`] namespaces. A retry does not help.
    #[error("too many namespaces: {0}, limit {MOST_NAMESPACES}")]
    TooManyNamespaces(usize),
}

impl ConnectError {
    /// Returns advice for the user.
    #[must_use]
    pub const fn help(&self) -> Option<&'static str> {
        Some(match self {
            Self::Kubeconfig { .. } => "Check the file and the name of the context.",
            Self::NoCluster(_) => "Configure a kubeconfig, or run in a pod with a service account.",
            Self::Client(_) => "Check the certificates, token and exec plug-in of the kubeconfig.",
            Self::Namespace(_) => "Use a name from `kubectl get namespaces`.",
            Self::TooManyNamespaces(_) => "Watch all namespaces instead.",
        })
    }
}
