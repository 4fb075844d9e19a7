//! A real Kubernetes API server with its own etcd, in a separate process. All of its files are in
//! one folder, which is removed on drop.
//!
//! Authorization is RBAC. There is no scheduler and there are no controllers, so pods need neither
//! a node nor a service account: a pod with `spec.nodeName` counts as scheduled, and an
//! [`EventRecorder`] emits the events of its kubelet.
//!
//! ```no_run
//! use pulltrace_testkit::kubernetes::{ApiServer, EventRecorder, KubernetesBinary, UNPRIVILEGED};
//! use pulltrace_testkit::need;
//! use serde_json::json;
//!
//! # async fn scenario() -> Result<(), Box<dyn std::error::Error>> {
//! let Some(binary) = need::or_skip(KubernetesBinary::apiserver()) else {
//!     return Ok(());
//! };
//! let mut server = ApiServer::start(&binary).await?;
//! let admin = server.admin().clone();
//! admin.create_namespace("shop").await?;
//! let pod = admin
//!     .create_pod("shop", "web-1", json!({"nodeName": "node-1", "containers": [{"name": "app", "image": "shop/web:1"}]}))
//!     .await?;
//! let mut kubelet = EventRecorder::new(&admin, "node-1");
//! let now = "2026-01-02T03:04:05Z".parse()?;
//! kubelet
//!     .emit(now, &pod, Some("spec.containers{app}"), "Normal", "Pulling", "Pulling image \"shop/web:1\"")
//!     .await?;
//!
//! // The program under test gets a kubeconfig.
//! admin.grant(UNPRIVILEGED, None, &["list", "watch"], &["pods", "events"]).await?;
//! let config = server.kubeconfig(UNPRIVILEGED)?;
//! server.restart().await?;
//! # drop(config);
//! # Ok(())
//! # }
//! ```

mod access;
mod binary;
mod client;
mod event_recorder;
mod manifest;
mod node;
mod objects;
mod process;

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use kube::Config;
use kube::config::{KubeConfigOptions, Kubeconfig};
use pulltrace_core::error::error_chain;
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;

use process::{Process, ReservedPort};

pub use access::Grant;
pub use binary::KubernetesBinary;
pub use client::{ApiError, Client, Watch};
pub use event_recorder::EventRecorder;
pub use node::{Node, NodeOptions};
pub use process::StartError;

/// Name and token of the user with all permissions.
pub const ADMIN: &str = "admin";
/// Name and token of a user without permissions except those granted by [`Client::grant`].
pub const UNPRIVILEGED: &str = "nobody";

/// Name of the node, and token of its kubelet; see [`Node`].
const NODE: &str = "node-1";

/// Token, name, id, groups.
const USERS: &str = "admin,admin,admin,system:masters\nnobody,nobody,nobody\n\
                     node-1,system:node:node-1,node-1,system:nodes\n";

/// The name of its program.
const APISERVER: &str = "apiserver";

/// An API server on 127.0.0.1, running or killed. Dropping it kills it and deletes its data; if the
/// test itself is killed, the process exits and deletes its data on its own.
#[derive(Debug)]
pub struct ApiServer {
    process: Option<Process>,
    binary: KubernetesBinary,
    port: ReservedPort,
    admin: Client,
    home: TempDir,
    kubeconfigs: AtomicU32,
}

impl ApiServer {
    /// Starts an API server and waits until it is ready.
    ///
    /// # Errors
    /// [`StartError`], with the end of its log.
    pub async fn start(binary: &KubernetesBinary) -> Result<Self, StartError> {
        let home = tempfile::Builder::new().prefix("k8s-").tempdir()?;
        fs::write(home.path().join("users.csv"), USERS)?;
        let port = ReservedPort::reserve()?;
        let (process, admin) = spawn_until_ready(binary, home.path(), port.address).await?;
        Ok(Self {
            process: Some(process),
            binary: binary.clone(),
            port,
            admin,
            home,
            kubeconfigs: AtomicU32::new(0),
        })
    }

    /// The URL, such as `https://127.0.0.1:34567`.
    #[must_use]
    pub fn url(&self) -> String {
        https_url(self.port.address)
    }

    /// The PEM file of its CA certificates.
    #[must_use]
    pub fn ca_file(&self) -> PathBuf {
        ca_file(self.home.path())
    }

    /// A client of the user with all permissions.
    #[must_use]
    pub fn admin(&self) -> &Client {
        &self.admin
    }

    /// Creates a client with this token and its own connections.
    ///
    /// # Errors
    /// [`ApiError`] when the certificate cannot be read.
    pub async fn client(&self, token: &str) -> Result<Client, ApiError> {
        client(self.home.path(), self.port.address, token).await
    }

    /// Writes a kubeconfig with this token: [`ADMIN`], [`UNPRIVILEGED`] or one from
    /// [`Client::create_token`].
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn kubeconfig(&self, token: &str) -> io::Result<PathBuf> {
        let number = self.kubeconfigs.fetch_add(1, Ordering::Relaxed);
        let path = self.home.path().join(format!("kubeconfig-{number}"));
        // JSON is valid YAML.
        let config = kubeconfig(self.home.path(), self.port.address, token);
        fs::write(&path, config.to_string())?;
        Ok(path)
    }

    /// Kills it with SIGKILL and waits until it has ended; its data is kept. Does nothing if it
    /// does not run.
    ///
    /// # Errors
    /// When the process cannot be waited for.
    pub async fn kill9(&mut self) -> io::Result<()> {
        match self.process.take() {
            Some(process) => process.kill9().await,
            None => Ok(()),
        }
    }

    /// Restarts it on the same data and port, killing it first if it runs, and waits until it is
    /// ready.
    ///
    /// A watch from a version before the restart gets 410: the API server has lost its watch cache.
    ///
    /// # Errors
    /// [`StartError`], with the end of its log.
    pub async fn restart(&mut self) -> Result<(), StartError> {
        self.kill9().await?;
        let (process, _) =
            spawn_until_ready(&self.binary, self.home.path(), self.port.address).await?;
        self.process = Some(process);
        Ok(())
    }

    /// Compacts etcd to the latest revision. A watch of *events* from an older version gets 410; a
    /// watch of pods does not, since the API server caches their changes: use
    /// [`ApiServer::restart`] for those.
    ///
    /// # Errors
    /// When it does not run.
    pub async fn compact(&self) -> io::Result<()> {
        let mut compact = Command::new(&self.binary.path);
        let output = compact.arg("compact").arg(self.home.path()).output().await?;
        if output.status.success() {
            return Ok(());
        }
        Err(io::Error::other(String::from_utf8_lossy(&output.stderr)))
    }

    /// The last `lines` lines of the log, including earlier runs.
    #[must_use]
    pub fn log_tail(&self, lines: usize) -> String {
        process::tail(&process::log_file(self.home.path(), APISERVER), lines)
    }

    /// The process id, or `None` while it does not run.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().and_then(Process::pid)
    }
}

fn https_url(address: SocketAddr) -> String {
    format!("https://{address}")
}

fn ca_file(home: &Path) -> PathBuf {
    home.join("certificates/apiserver.crt")
}

fn kubeconfig(home: &Path, address: SocketAddr, token: &str) -> Value {
    serde_json::json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        "clusters": [{"name": "test", "cluster": {
            "server": https_url(address),
            "certificate-authority": ca_file(home),
        }}],
        "users": [{"name": "test", "user": {"token": token}}],
    })
}

async fn client(home: &Path, address: SocketAddr, token: &str) -> Result<Client, ApiError> {
    let invalid = |error: &dyn std::error::Error| ApiError::Invalid(error_chain(error));
    let config = serde_json::from_value(kubeconfig(home, address, token));
    let config: Kubeconfig = config.map_err(|error| invalid(&error))?;
    let config = Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await;
    let mut config = config.map_err(|error| invalid(&error))?;
    // The address is local.
    config.proxy_url = None;
    Client::new(config)
}

/// Starts it in this folder and waits until it is ready.
async fn spawn_until_ready(
    binary: &KubernetesBinary,
    home: &Path,
    address: SocketAddr,
) -> Result<(Process, Client), StartError> {
    let port = format!("--secure-port={}", address.port());
    let args = [
        &*home.to_string_lossy(),
        &port,
        "--bind-address=127.0.0.1",
        "--cert-dir=certificates",
        "--token-auth-file=users.csv",
        "--authorization-mode=Node,RBAC",
        "--service-account-issuer=https://kubernetes.default.svc",
        "--service-cluster-ip-range=10.96.0.0/24",
        // It rejects pods without a service account, which a controller would create.
        "--disable-admission-plugins=ServiceAccount",
        // A loopback address cannot be an endpoint of the `kubernetes` service.
        "--endpoint-reconciler-type=none",
        "--allow-privileged=true",
        // Without it, image volumes are silently dropped.
        "--feature-gates=ImageVolume=true",
        "--profiling=false",
        // Do not throttle the tests' requests.
        "--enable-priority-and-fairness=false",
    ];
    let mut process = Process::spawn(binary, APISERVER, &args.map(str::to_owned), home)?;
    let ready = async || {
        // Fails until the server has written its certificate.
        let admin = client(home, address, ADMIN).await.ok()?;
        admin.is_ready().await.then_some(admin)
    };
    let admin = process.wait_until_ready(ready).await?;
    Ok((process, admin))
}
