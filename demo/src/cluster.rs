//! The demo with pods: an API server, this machine as its node, and the agent and the server as
//! deployed.

use std::collections::BTreeMap;

use pulltrace_testkit::containerd::{ContainerdBinary, Options};
use pulltrace_testkit::kubernetes::{ApiServer, KubernetesBinary, Node, NodeOptions, UNPRIVILEGED};
use serde_json::Value;

use crate::args::Args;
use crate::child::{Program, check_status, show_until};
use crate::containerd::{memory_limit, short_version};
use crate::error::{DemoError, log};
use crate::images::ImageFactory;
use crate::page::PageServer;
use crate::pods::{self, Rollout};
use crate::stage::{HOST, LINE_RATE};
use crate::stop::Stop;

pub(crate) async fn run(
    args: &Args,
    containerd: &ContainerdBinary,
    pulltrace: &Program,
    stop: &Stop,
) -> Result<(), DemoError> {
    let show = pulltrace.args(["watch"]);
    check_status(show.args(&args.watch_flags).check_args().await?)?;
    let kubernetes = KubernetesBinary::node().map_err(|missing| {
        let text = format!("{} is missing: {}", missing.what, missing.remedy);
        DemoError::Failed(text)
    })?;
    let agent = Program::find("pulltrace-agent").map_err(DemoError::Failed)?;
    let server = Program::find("pulltrace-server").map_err(DemoError::Failed)?;

    log("starting an API server; press Ctrl-C to stop everything");
    let api = tokio::select! {
        started = ApiServer::start(&kubernetes) => started.map_err(|error| DemoError::from_error(&error))?,
        () = stop.requested() => return Ok(()),
    };
    let version = short_version(containerd)?;
    log(&format!(
        "starting a node on this machine: a kubelet, a private containerd {version} and a registry"
    ));
    let options = NodeOptions {
        containerd: Options {
            memory_mib: memory_limit(),
            mirrors: vec![(HOST.into(), "127.0.0.1:1".into())],
            ..Options::default()
        },
        ..NodeOptions::default()
    };
    let node = tokio::select! {
        started = Node::start(&kubernetes, containerd, &api, &options) => {
            started.map_err(|error| DemoError::from_error(&error))?
        }
        () = stop.requested() => return Ok(()),
    };
    let registry = node.registry().address().to_string();
    node.containerd().mirror(HOST, &registry)?;
    let kubeconfig = reader_kubeconfig(&api).await?;
    let kubeconfig = kubeconfig.to_string_lossy();
    log(&format!(
        "{HOST} is {registry}, for kubectl: --kubeconfig {kubeconfig} (may read pods and events)"
    ));

    let flags = ["--metrics-addr", "off", "--kubernetes", "on", "--kubeconfig", &kubeconfig];
    let page = PageServer::start(&server.args(flags), args.port).await?;
    let agent = agent.args(["--server-url", page.url(), "--node-name", node.name()]);
    let agent = agent.args(["--log-level", "error", "--socket"]);
    let mut agent = agent.args([node.containerd().socket()]).start()?;
    let mut watch = page.watch_command(&show).args(&args.watch_flags).start()?;
    let mut play_error = None;
    let shown = {
        let play = async {
            play_error = roll_out(args.seed, &api, &node).await.err();
        };
        show_until(&mut watch, play, args.duration(), stop).await
    };
    check_status(agent.stop(stop).await?)?;
    page.stop(stop).await?;
    // A pull continues after its pod is deleted, and stopping waits for it.
    node.registry().clear_faults();
    log("deleting the pods and removing the node with all of its data");
    tokio::select! {
        stopped = node.stop() => stopped?,
        // Dropping the node kills its processes.
        () = stop.requested_again() => {}
    }
    drop(api);
    check_status(shown?)?;
    play_error.map_or(Ok(()), Err)
}

/// Writes a kubeconfig with only the permissions that the server needs.
async fn reader_kubeconfig(api: &ApiServer) -> Result<std::path::PathBuf, DemoError> {
    let granted = api.admin().grant(UNPRIVILEGED, None, &["list", "watch"], &["pods", "events"]);
    granted.await.map_err(|error| DemoError::from_error(&error))?;
    Ok(api.kubeconfig(UNPRIVILEGED)?)
}

/// Rolls out forever.
async fn roll_out(seed: u64, api: &ApiServer, node: &Node) -> Result<(), DemoError> {
    let admin = api.admin();
    let library = ImageFactory::default();
    node.registry().everything().throttle(Some(LINE_RATE));
    let mut before: BTreeMap<&str, Rollout> = BTreeMap::new();
    for rollout in pods::rollouts(seed) {
        tokio::time::sleep(rollout.delay).await;
        for (pull, ends) in rollout.images() {
            let (library, of) = (library.clone(), pull.clone());
            let made = tokio::task::spawn_blocking(move || library.build_runnable(&of, ends));
            let image = made.await.map_err(|error| DemoError::from_error(&error))?;
            node.registry().push(&pull.name(), &image);
        }
        let namespace = rollout.namespace;
        if let Some(old) = before.insert(rollout.name, rollout.clone()) {
            for pod in &old.pods {
                let path = format!("/api/v1/namespaces/{namespace}/pods/{pod}");
                admin
                    .delete_with_grace(&path, 1)
                    .await
                    .map_err(|error| DemoError::from_error(&error))?;
            }
            // Frees memory: old images are no longer needed.
            for (pull, _) in old.images() {
                let image = format!("{HOST}/{}", pull.name());
                let removed = node.containerd().cri().remove(&image).await;
                removed.map_err(|error| DemoError::from_error(&error))?;
            }
        } else {
            admin
                .create_namespace(namespace)
                .await
                .map_err(|error| DemoError::from_error(&error))?;
        }
        let spec: Value = rollout.spec(node.name(), HOST);
        for pod in &rollout.pods {
            let made = admin.create_pod(namespace, pod, spec.clone()).await;
            made.map_err(|error| DemoError::from_error(&error))?;
        }
    }
    Ok(())
}
