//! This machine as a node: a real kubelet on a private containerd, whose images
//! come from the testkit's registry.
//!
//! The kubelet is told to leave the machine as it is. What it does all the same
//! outside of its folder, which is containerd's, is undone at the end.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::process::{self, Port, Process, StartError};
use super::{ApiServer, Client, KubernetesBinary, NODE};
use crate::containerd::{self, Containerd, ContainerdBinary, Options};
use crate::image::{Image, Layer};
use crate::registry::Registry;
use crate::wait;

/// The name of its program.
const KUBELET: &str = "kubelet";

/// How long all pods together may take to end.
const GONE: Duration = Duration::from_secs(60);

/// What a kubelet sets of the kernel, and does not set back.
const SYSCTLS: [&str; 6] = [
    "kernel/keys/root_maxbytes",
    "kernel/keys/root_maxkeys",
    "kernel/panic",
    "kernel/panic_on_oops",
    "vm/overcommit_memory",
    "vm/panic_on_oom",
];

/// Folders that a kubelet makes whatever it is told, deepest first.
const FOLDERS: [&str; 3] = [
    "/var/lib/kubelet/device-plugins",
    "/var/lib/kubelet",
    LOG_LINKS,
];

/// The control group in which containerd has those of containers, where the
/// kubelet names none.
const GROUP: &str = "k8s.io";

/// Where it links the logs of containers.
const LOG_LINKS: &str = "/var/log/containers";

/// What differs from a node as most clusters have it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct NodeOptions {
    /// Of its containerd.
    pub containerd: Options,
    /// Pull several images at once: `serializeImagePulls: false`.
    pub parallel_pulls: bool,
    /// Settings that are added to the kubelet's configuration, an object.
    pub kubelet: Value,
}

/// A node that runs pods. Dropping it kills what it runs, and undoes what it
/// did to the machine; [`Node::stop`] does that in order.
#[derive(Debug)]
pub struct Node {
    // The order is that in which they go.
    kubelet: Option<Process>,
    containerd: Containerd,
    traces: Traces,
    registry: Registry,
    admin: Client,
    _port: Port,
    _network: TempDir,
}

impl Node {
    /// Makes this machine the node `node-1` of `server`, and waits until it is
    /// ready. Needs root; there can be one on a machine at a time.
    ///
    /// Its pods must be `hostNetwork: true`: there are no network plug-ins.
    /// Images are named as [`Registry::push`] says, or by one of the mirrors in
    /// [`Options::mirrors`] once [`Containerd::mirror`] says where that is.
    ///
    /// # Errors
    /// [`StartError`], with the end of the kubelet's log.
    pub async fn start(
        binary: &KubernetesBinary,
        containerd: &ContainerdBinary,
        server: &ApiServer,
        options: &NodeOptions,
    ) -> Result<Self, StartError> {
        let network = network()?;
        let registry = Registry::start()?;
        let mut of_containerd = options.containerd.clone();
        of_containerd.extra += &network_config(containerd, network.path());
        let containerd = Containerd::start(containerd, &of_containerd).await;
        let containerd = containerd.map_err(io::Error::other)?;
        containerd.serve_sandbox_image(&registry)?;

        let port = Port::reserve()?;
        let dir = containerd.dir().join(KUBELET);
        fs::create_dir_all(dir.join("plugins"))?;
        let config = config(&dir, &containerd, port.address.port(), options);
        fs::write(dir.join("config.json"), config.to_string())?;
        let kubeconfig = server.kubeconfig(NODE)?;
        let traces = Traces::before(&dir)?;
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
        let started = kubelet.until_ready(ready).await;
        let node = Self {
            kubelet: Some(kubelet),
            containerd,
            traces,
            registry,
            admin,
            _port: port,
            _network: network,
        };
        started.map(|()| node)
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        NODE
    }

    /// What it runs pods with.
    #[must_use]
    pub fn containerd(&self) -> &Containerd {
        &self.containerd
    }

    /// Where its images are.
    #[must_use]
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The last `lines` lines of the kubelet's log.
    #[must_use]
    pub fn log_tail(&self, lines: usize) -> String {
        process::tail(&process::log_file(&self.traces.dir, KUBELET), lines)
    }

    /// An image of these layers that, once it is started, runs until it is
    /// stopped.
    #[must_use]
    pub fn image(layers: &[Layer]) -> Image {
        let program = Image::builder().layer(&Layer::pause());
        let layers = layers.iter().cloned();
        program.layers(layers).entrypoint(&["/pause"]).build()
    }

    /// The same, but what is started of it ends at once: of an init container.
    #[must_use]
    pub fn image_that_ends(layers: &[Layer]) -> Image {
        let program = Image::builder().layer(&Layer::exit());
        let layers = layers.iter().cloned();
        program.layers(layers).entrypoint(&["/exit"]).build()
    }

    /// Deletes all pods of the node, waits until it has ended them, and ends
    /// it. The node itself stays in the API server, and becomes unready.
    ///
    /// # Errors
    /// When a pod or the kubelet does not end.
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
            let deleted = self.admin.delete_within(&path, 1).await;
            deleted.map_err(io::Error::other)?;
        }
        wait::until("all pods of the node are gone", GONE, async || {
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

/// A network that exists, so that the node becomes ready. Nobody uses it.
fn network() -> io::Result<TempDir> {
    let dir = tempfile::Builder::new().prefix("cni-").tempdir()?;
    let list = json!({"cniVersion": "0.4.0", "name": "none", "plugins": [{"type": "ptp"}]});
    fs::write(dir.path().join("10-none.conflist"), list.to_string())?;
    Ok(dir)
}

fn network_config(containerd: &ContainerdBinary, dir: &Path) -> String {
    let plugin = if containerd.at_least(2, 0) {
        "io.containerd.cri.v1.runtime"
    } else {
        "io.containerd.grpc.v1.cri"
    };
    let dir = dir.display();
    format!("[plugins.\"{plugin}\".cni]\nconf_dir = \"{dir}\"\n")
}

fn config(dir: &Path, containerd: &Containerd, port: u16, options: &NodeOptions) -> Value {
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
        // Devices are nobody's here, and a kubelet that looks for them asks of its node before that is known: seen
        // once, it ended in a panic. From 1.35 on this cannot be chosen.
        "featureGates": {"ImageVolume": true, "DynamicResourceAllocation": false},
        // Machines of tests have swap, old control groups, no systemd, and full disks.
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
        // What is waited for comes sooner.
        "nodeStatusUpdateFrequency": "2s",
    });
    if let (Some(config), Some(more)) = (config.as_object_mut(), options.kubelet.as_object()) {
        config.extend(more.clone());
    }
    config
}

/// What a kubelet changes outside of its folder, as it was before; dropped, it
/// is so again.
#[derive(Debug)]
struct Traces {
    /// The kubelet's folder.
    dir: PathBuf,
    sysctls: Vec<(PathBuf, String)>,
    /// Those that were not there.
    folders: Vec<&'static Path>,
    groups: Vec<PathBuf>,
}

impl Traces {
    fn before(dir: &Path) -> io::Result<Self> {
        let read = |name: &str| {
            let path = Path::new("/proc/sys").join(name);
            fs::read_to_string(&path).map(|value| (path, value))
        };
        let sysctls = SYSCTLS.into_iter().map(read);
        let folders = FOLDERS.into_iter().map(Path::new);
        let groups = containerd::cgroup_roots()?.into_iter();
        let groups = groups.map(|root| root.join(GROUP));
        Ok(Self {
            dir: dir.to_owned(),
            sysctls: sysctls.collect::<io::Result<_>>()?,
            folders: folders.filter(|folder| !folder.exists()).collect(),
            groups: groups.filter(|group| !group.exists()).collect(),
        })
    }

    fn undo(&self) -> io::Result<()> {
        for (path, value) in &self.sysctls {
            fs::write(path, value)?;
        }
        // Links to logs in the kubelet's folder, of containers that it has not removed.
        for link in fs::read_dir(LOG_LINKS).into_iter().flatten() {
            let link = link?.path();
            if fs::read_link(&link).is_ok_and(|to| to.starts_with(&self.dir)) {
                fs::remove_file(&link)?;
            }
        }
        for folder in &self.folders {
            match fs::remove_dir_all(folder) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        let mut groups = self.groups.iter();
        groups.try_for_each(|group| containerd::remove_cgroup(group))
    }
}

impl Drop for Traces {
    fn drop(&mut self) {
        if let Err(error) = self.undo()
            && !std::thread::panicking()
        {
            panic!("what the kubelet did could not be undone: {error}");
        }
    }
}
