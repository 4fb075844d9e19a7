//! This machine as a node: a real kubelet with a private containerd that pulls from the testkit's
//! registry.
//!
//! The kubelet is configured to leave the machine alone. The changes that it still makes outside of
//! its folder (inside containerd's) are reverted at the end.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::process::{self, Process, ReservedPort, StartError};
use super::{ApiServer, Client, KubernetesBinary, NODE};
use crate::containerd::{self, Containerd, ContainerdBinary, Options};
use crate::image::{Image, Layer};
use crate::registry::Registry;
use crate::wait;

/// The name of its program.
const KUBELET: &str = "kubelet";

/// The longest that the termination of all pods may take.
const PODS_GONE_TIMEOUT: Duration = Duration::from_secs(60);

/// Sysctls that a kubelet sets and does not restore.
const SYSCTLS: [&str; 6] = [
    "kernel/keys/root_maxbytes",
    "kernel/keys/root_maxkeys",
    "kernel/panic",
    "kernel/panic_on_oops",
    "vm/overcommit_memory",
    "vm/panic_on_oom",
];

/// Folders that a kubelet always creates, deepest first.
const HOST_DIRS: [&str; 3] = ["/var/lib/kubelet/device-plugins", "/var/lib/kubelet", LOG_LINK_DIR];

/// The cgroup in which containerd puts containers if the kubelet does not set one.
const CONTAINER_CGROUP: &str = "k8s.io";

/// The folder of the kubelet's links to container logs.
const LOG_LINK_DIR: &str = "/var/log/containers";

/// Settings that differ from a typical node.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct NodeOptions {
    /// Options of its containerd.
    pub containerd: Options,
    /// Pull several images at once: `serializeImagePulls: false`.
    pub parallel_pulls: bool,
    /// An object that is merged into the kubelet's configuration.
    pub kubelet: Value,
}

/// A node that runs pods. Dropping it kills its processes and reverts its changes to the machine;
/// [`Node::stop`] shuts it down in order.
#[derive(Debug)]
pub struct Node {
    // Fields are dropped in this order.
    kubelet: Option<Process>,
    containerd: Containerd,
    host_state: HostState,
    registry: Registry,
    admin: Client,
    _port: ReservedPort,
    _network: TempDir,
}

impl Node {
    /// Makes this machine the node `node-1` of `server` and waits until it is ready. Requires root;
    /// only one node can exist on a machine at a time.
    ///
    /// Its pods must set `hostNetwork: true`: there are no network plug-ins. Images are named as by
    /// [`Registry::push`], or by a host of [`Options::mirrors`] after a call of
    /// [`Containerd::mirror`].
    ///
    /// # Errors
    /// [`StartError`], with the end of the kubelet's log.
    pub async fn start(
        binary: &KubernetesBinary,
        containerd: &ContainerdBinary,
        server: &ApiServer,
        options: &NodeOptions,
    ) -> Result<Self, StartError> {
        let network = write_cni_config()?;
        let registry = Registry::start()?;
        let mut containerd_options = options.containerd.clone();
        containerd_options.extra += &cni_section(containerd, network.path());
        let containerd = Containerd::start(containerd, &containerd_options).await;
        let containerd = containerd.map_err(io::Error::other)?;
        containerd.serve_sandbox_image(&registry)?;

        let port = ReservedPort::reserve()?;
        let dir = containerd.dir().join(KUBELET);
        fs::create_dir_all(dir.join("plugins"))?;
        let config = kubelet_config(&dir, &containerd, port.address.port(), options);
        fs::write(dir.join("config.json"), config.to_string())?;
        let kubeconfig = server.kubeconfig(NODE)?;
        let traces = HostState::capture(&dir)?;
        let args = [
            "--config=config.json".to_owned(),
            format!("--kubeconfig={}", kubeconfig.display()),
            format!("--hostname-override={NODE}"),
            format!("--root-dir={}", dir.display()),
            format!("--cert-dir={}", dir.join("certificates").display()),
        ];
        let mut kubelet = Process::spawn(binary, KUBELET, &args, &dir)?;
        let admin = server.admin().clone();
        let ready = async || {
            let node = admin.get(&format!("/api/v1/nodes/{NODE}")).await.ok()?;
            let conditions = node["status"]["conditions"].as_array()?;
            let ready = |of: &Value| of["type"] == "Ready" && of["status"] == "True";
            conditions.iter().any(ready).then_some(())
        };
        let started = kubelet.wait_until_ready(ready).await;
        let node = Self {
            kubelet: Some(kubelet),
            containerd,
            host_state: traces,
            registry,
            admin,
            _port: port,
            _network: network,
        };
        started.map(|()| node)
    }

    /// The node's name.
    #[must_use]
    pub fn name(&self) -> &str {
        NODE
    }

    /// The node's containerd.
    #[must_use]
    pub fn containerd(&self) -> &Containerd {
        &self.containerd
    }

    /// The registry of its images.
    #[must_use]
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The last `lines` lines of the kubelet's log.
    #[must_use]
    pub fn log_tail(&self, lines: usize) -> String {
        process::tail(&process::log_file(&self.host_state.dir, KUBELET), lines)
    }

    /// Builds an image with these layers that runs until it is stopped.
    #[must_use]
    pub fn running_image(layers: &[Layer]) -> Image {
        let program = Image::builder().layer(&Layer::pause());
        let layers = layers.iter().cloned();
        program.layers(layers).entrypoint(&["/pause"]).build()
    }

    /// Builds an image with these layers that exits at once, for init containers.
    #[must_use]
    pub fn exiting_image(layers: &[Layer]) -> Image {
        let program = Image::builder().layer(&Layer::exit());
        let layers = layers.iter().cloned();
        program.layers(layers).entrypoint(&["/exit"]).build()
    }

    /// Deletes all pods of the node, waits until they have terminated, and stops the kubelet. The
    /// node object stays in the API server and becomes unready.
    ///
    /// # Errors
    /// When a pod or the kubelet does not end in time.
    pub async fn stop(mut self) -> io::Result<()> {
        let of_node = format!("/api/v1/pods?fieldSelector=spec.nodeName={NODE}");
        let list = async || {
            let list = self.admin.get(&of_node).await.map_err(io::Error::other)?;
            Ok::<_, io::Error>(list["items"].as_array().cloned().unwrap_or_default())
        };
        for pod in list().await? {
            let word = |name: &str| pod["metadata"][name].as_str().unwrap_or_default();
            let (namespace, name) = (word("namespace"), word("name"));
            let path = format!("/api/v1/namespaces/{namespace}/pods/{name}");
            let deleted = self.admin.delete_with_grace(&path, 1).await;
            deleted.map_err(io::Error::other)?;
        }
        wait::until("all pods of the node have terminated", PODS_GONE_TIMEOUT, async || {
            list().await.ok()?.is_empty().then_some(())
        })
        .await
        .map_err(io::Error::other)?;
        match self.kubelet.take() {
            Some(kubelet) => kubelet.stop().await,
            None => Ok(()),
        }
    }
}

/// Writes an unused CNI configuration, without which the node does not become ready.
fn write_cni_config() -> io::Result<TempDir> {
    let dir = tempfile::Builder::new().prefix("cni-").tempdir()?;
    let list = json!({"cniVersion": "0.4.0", "name": "none", "plugins": [{"type": "ptp"}]});
    fs::write(dir.path().join("10-none.conflist"), list.to_string())?;
    Ok(dir)
}

fn cni_section(containerd: &ContainerdBinary, dir: &Path) -> String {
    let plugin = if containerd.at_least(2, 0) {
        "io.containerd.cri.v1.runtime"
    } else {
        "io.containerd.grpc.v1.cri"
    };
    let dir = dir.display();
    format!("[plugins.\"{plugin}\".cni]\nconf_dir = \"{dir}\"\n")
}

fn kubelet_config(dir: &Path, containerd: &Containerd, port: u16, options: &NodeOptions) -> Value {
    let mut config = json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "containerRuntimeEndpoint": format!("unix://{}", containerd.socket().display()),
        "address": "127.0.0.1",
        "port": port,
        "healthzPort": 0,
        "authentication": {"anonymous": {"enabled": true}, "webhook": {"enabled": false}},
        "authorization": {"mode": "AlwaysAllow"},
        "serializeImagePulls": !options.parallel_pulls,
        // No dynamic resource allocation: with it the kubelet may look up its node before the node
        // is registered, which caused a panic once. The feature cannot be disabled from 1.35 on.
        "featureGates": {"ImageVolume": true, "DynamicResourceAllocation": false},
        // Test machines have swap, cgroup v1, no systemd, and full disks.
        "failSwapOn": false,
        "failCgroupV1": false,
        "cgroupDriver": "cgroupfs",
        "cgroupsPerQOS": false,
        "enforceNodeAllocatable": [],
        "evictionHard": {
            "memory.available": "0%",
            "nodefs.available": "0%",
            "nodefs.inodesFree": "0%",
            "imagefs.available": "0%",
        },
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "makeIPTablesUtilChains": false,
        "podLogsDir": dir.join("logs"),
        "volumePluginDir": dir.join("plugins"),
        "resolvConf": "",
        // Shortens waits for a changed node status.
        "nodeStatusUpdateFrequency": "2s",
    });
    if let (Some(config), Some(more)) = (config.as_object_mut(), options.kubelet.as_object()) {
        config.extend(more.clone());
    }
    config
}

/// State of the machine outside of the kubelet's folder; restored on drop.
#[derive(Debug)]
struct HostState {
    /// The kubelet's folder.
    dir: PathBuf,
    sysctls: Vec<(PathBuf, String)>,
    /// Folders that did not exist before.
    created_dirs: Vec<&'static Path>,
    created_cgroups: Vec<PathBuf>,
}

impl HostState {
    fn capture(dir: &Path) -> io::Result<Self> {
        let read = |name: &str| {
            let path = Path::new("/proc/sys").join(name);
            fs::read_to_string(&path).map(|value| (path, value))
        };
        let sysctls = SYSCTLS.into_iter().map(read);
        let folders = HOST_DIRS.into_iter().map(Path::new);
        let groups = containerd::cgroup_roots()?.into_iter();
        let groups = groups.map(|root| root.join(CONTAINER_CGROUP));
        Ok(Self {
            dir: dir.to_owned(),
            sysctls: sysctls.collect::<io::Result<_>>()?,
            created_dirs: folders.filter(|folder| !folder.exists()).collect(),
            created_cgroups: groups.filter(|group| !group.exists()).collect(),
        })
    }

    fn restore(&self) -> io::Result<()> {
        for (path, value) in &self.sysctls {
            fs::write(path, value)?;
        }
        // Links to logs of containers that the kubelet has not removed.
        for link in fs::read_dir(LOG_LINK_DIR).into_iter().flatten() {
            let link = link?.path();
            if fs::read_link(&link).is_ok_and(|to| to.starts_with(&self.dir)) {
                fs::remove_file(&link)?;
            }
        }
        for folder in &self.created_dirs {
            match fs::remove_dir_all(folder) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        let mut groups = self.created_cgroups.iter();
        groups.try_for_each(|group| containerd::remove_cgroup(group))
    }
}

impl Drop for HostState {
    fn drop(&mut self) {
        if let Err(error) = self.restore()
            && !std::thread::panicking()
        {
            panic!("failed to revert the kubelet's changes: {error}");
        }
    }
}
