//! A real API server of Kubernetes, with an etcd of its own: in a process and a
//! folder of its own, of which nothing is left when it is dropped.
//!
//! Authorization is RBAC. Pods need no node, no scheduler and no service
//! account, since there is nobody who would make those: a pod that names its
//! node in `spec.nodeName` is as good as a scheduled one, and a [`Kubelet`]
//! says what its kubelet would say.
//!
//! ```no_run
//! use pulltrace_testkit::kubernetes::{ApiServer, Kubelet, KubernetesBinary, NOBODY};
//! use pulltrace_testkit::need;
//! use serde_json::json;
//!
//! # async fn scenario() -> Result<(), Box<dyn std::error::Error>> {
//! let Some(binary) = need::or_skip(KubernetesBinary::apiserver()) else {
//!     return Ok(());
//! };
//! let mut server = ApiServer::start(&binary).await?;
//! let admin = server.admin().clone();
//! admin.namespace("shop").await?;
//! let pod = admin
//!     .pod("shop", "web-1", json!({"nodeName": "node-1", "containers": [{"name": "app", "image": "shop/web:1"}]}))
//!     .await?;
//! let mut kubelet = Kubelet::new(&admin, "node-1");
//! let now = "2026-01-02T03:04:05Z".parse()?;
//! kubelet
//!     .says(now, &pod, Some("spec.containers{app}"), "Normal", "Pulling", "Pulling image \"shop/web:1\"")
//!     .await?;
//!
//! // What is tested gets a kubeconfig.
//! admin.grant(NOBODY, None, &["list", "watch"], &["pods", "events"]).await?;
//! let config = server.kubeconfig(NOBODY)?;
//! server.restart().await?;
//! # drop(config);
//! # Ok(())
//! # }
//! ```

mod access;
mod binary;
mod client;
mod kubelet;
mod manifest;
mod node;
mod objects;
mod process;

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use tempfile::TempDir;
use tokio::process::Command;

use process::{Port, Process};

pub use access::Grant;
pub use binary::KubernetesBinary;
pub use client::{ApiError, Client, Watch};
pub use kubelet::Kubelet;
pub use node::{Node, NodeOptions};
pub use process::StartError;

/// The token, and the name, of who may do anything.
pub const ADMIN: &str = "admin";
/// The token, and the name, of who may do nothing that was not granted.
pub const NOBODY: &str = "nobody";

/// The token, and the name, of the kubelet of the one node that a [`Node`] is.
const NODE: &str = "node-1";

/// Token, name, id, groups.
const USERS: &str = "admin,admin,admin,system:masters\nnobody,nobody,nobody\n\
                     node-1,system:node:node-1,node-1,system:nodes\n";

/// The name of its program.
const APISERVER: &str = "apiserver";

/// A running (or killed) API server on 127.0.0.1. Dropping it kills it and
/// deletes its data; where the test itself is killed, it does so by itself.
#[derive(Debug)]
pub struct ApiServer {
    process: Option<Process>,
    binary: KubernetesBinary,
    port: Port,
    admin: Client,
    home: TempDir,
    kubeconfigs: AtomicU32,
}

impl ApiServer {
    /// Starts one and waits until it is ready.
    ///
    /// # Errors
    /// [`StartError`], with the end of its log.
    pub async fn start(binary: &KubernetesBinary) -> Result<Self, StartError> {
        let home = tempfile::Builder::new().prefix("k8s-").tempdir()?;
        fs::write(home.path().join("users.csv"), USERS)?;
        let port = Port::reserve()?;
        let (process, admin) = run(binary, home.path(), port.address).await?;
        Ok(Self {
            process: Some(process),
            binary: binary.clone(),
            port,
            admin,
            home,
            kubeconfigs: AtomicU32::new(0),
        })
    }

    /// Where it is: `https://127.0.0.1:34567`.
    #[must_use]
    pub fn url(&self) -> String {
        url(self.port.address)
    }

    /// The certificates to trust, a PEM file.
    #[must_use]
    pub fn ca_file(&self) -> PathBuf {
        ca_file(self.home.path())
    }

    /// Asks as somebody who may do anything.
    #[must_use]
    pub fn admin(&self) -> &Client {
        &self.admin
    }

    /// Asks as who has this token, over connections of its own.
    ///
    /// # Errors
    /// [`ApiError`] where the certificate cannot be read.
    pub fn client(&self, token: &str) -> Result<Client, ApiError> {
        client(self.home.path(), self.port.address, token)
    }

    /// Writes a kubeconfig of who has this token: [`ADMIN`], [`NOBODY`] or what
    /// [`Client::token`] gave.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn kubeconfig(&self, token: &str) -> io::Result<PathBuf> {
        let number = self.kubeconfigs.fetch_add(1, Ordering::Relaxed);
        let path = self.home.path().join(format!("kubeconfig-{number}"));
        // YAML takes JSON.
        let config = serde_json::json!({
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
            "clusters": [{"name": "test", "cluster": {
                "server": self.url(),
                "certificate-authority": self.ca_file(),
            }}],
            "users": [{"name": "test", "user": {"token": token}}],
        });
        fs::write(&path, config.to_string())?;
        Ok(path)
    }

    /// Kills it with SIGKILL and waits until it is gone; its data stay. Does
    /// nothing when it does not run.
    ///
    /// # Errors
    /// When the process cannot be waited for.
    pub async fn kill9(&mut self) -> io::Result<()> {
        match self.process.take() {
            Some(process) => process.kill9().await,
            None => Ok(()),
        }
    }

    /// Starts it again on the same data and port, after killing it where it
    /// still runs, and waits until it is ready.
    ///
    /// Watches from a version before this get 410: what led to now is forgotten.
    ///
    /// # Errors
    /// [`StartError`], with the end of its log.
    pub async fn restart(&mut self) -> Result<(), StartError> {
        self.kill9().await?;
        let (process, _) = run(&self.binary, self.home.path(), self.port.address).await?;
        self.process = Some(process);
        Ok(())
    }

    /// Forgets all versions but the newest. Watches of *events* from an older
    /// one get 410; those of pods do not, for the API server keeps a window of
    /// its own of them: for those, [`ApiServer::restart`].
    ///
    /// # Errors
    /// When it does not run.
    pub async fn compact(&self) -> io::Result<()> {
        let mut compact = Command::new(&self.binary.path);
        let output = compact
            .arg("compact")
            .arg(self.home.path())
            .output()
            .await?;
        if output.status.success() {
            return Ok(());
        }
        Err(io::Error::other(String::from_utf8_lossy(&output.stderr)))
    }

    /// The last `lines` lines of its log, over all its restarts.
    #[must_use]
    pub fn log_tail(&self, lines: usize) -> String {
        process::tail(&process::log_file(self.home.path(), APISERVER), lines)
    }

    /// Its process; `None` while it does not run.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().and_then(Process::pid)
    }
}

fn url(address: SocketAddr) -> String {
    format!("https://{address}")
}

fn ca_file(home: &Path) -> PathBuf {
    home.join("certificates/apiserver.crt")
}

fn client(home: &Path, address: SocketAddr, token: &str) -> Result<Client, ApiError> {
    let file = ca_file(home);
    let unreadable = |error| ApiError::Unreadable(format!("{}: {error}", file.display()));
    let ca = fs::read(&file).map_err(unreadable)?;
    Client::new(&url(address), token, &ca)
}

/// Starts it in this folder and waits until it is ready.
async fn run(
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
        // It refuses pods without an account, which controllers make.
        "--disable-admission-plugins=ServiceAccount",
        // A loopback address cannot be the cluster's way to itself.
        "--endpoint-reconciler-type=none",
        "--allow-privileged=true",
        // Without it an image that is a volume is dropped in silence.
        "--feature-gates=ImageVolume=true",
        "--profiling=false",
        // A test may be as impolite as it likes.
        "--enable-priority-and-fairness=false",
    ];
    let mut process = Process::spawn(binary, APISERVER, &args.map(str::to_owned), home)?;
    let ready = async || {
        // Before it has made its certificate there is nobody to ask.
        let admin = client(home, address, ADMIN).ok()?;
        admin.is_ready().await.then_some(admin)
    };
    let admin = process.until_ready(ready).await?;
    Ok((process, admin))
}
