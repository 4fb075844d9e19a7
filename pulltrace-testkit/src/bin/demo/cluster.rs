//! The demo with pods: an API server, this machine as its node, and on them agent and server as they are deployed.

use std::collections::BTreeMap;

use pulltrace_testkit::containerd::{ContainerdBinary, Options};
use pulltrace_testkit::kubernetes::{ApiServer, KubernetesBinary, NOBODY, Node, NodeOptions};
use serde_json::Value;

use crate::args::Args;
use crate::child::Pulltrace;
use crate::images::Library;
use crate::page::Page;
use crate::pods::{self, Rollout};
use crate::stage::{HOST, LINE};
use crate::stop::Stop;
use crate::{
    Failure, MEMORY, MEMORY_TO_SPARE, memory_available, passed, say, show_until, with_causes,
};

fn failed(error: &dyn std::error::Error) -> Failure {
    Failure::Failed(with_causes(error))
}

pub(crate) async fn demo(
    args: &Args,
    containerd: &ContainerdBinary,
    pulltrace: &Pulltrace,
    stop: &Stop,
) -> Result<(), Failure> {
    let show = pulltrace.args(["watch"]);
    passed(show.args(&args.watch).check().await?)?;
    let kubernetes = KubernetesBinary::node().map_err(|missing| {
        let text = format!("{} is missing: {}", missing.what, missing.remedy);
        Failure::Failed(text)
    })?;
    let agent = Pulltrace::find("pulltrace-agent").map_err(Failure::Failed)?;
    let server = Pulltrace::find("pulltrace-server").map_err(Failure::Failed)?;

    say("starting an API server; Ctrl-C ends it and all that follows");
    let api = tokio::select! {
        started = ApiServer::start(&kubernetes) => started.map_err(|error| failed(&error))?,
        () = stop.asked() => return Ok(()),
    };
    let version = containerd.version()?;
    let version = version.split('+').next().unwrap_or(&version);
    say(&format!(
        "making this machine its node: a kubelet, a private containerd {version} and a registry"
    ));
    let options = NodeOptions {
        containerd: Options {
            memory_mib: (memory_available() >= MEMORY_TO_SPARE).then_some(MEMORY),
            mirrors: vec![(HOST.into(), "127.0.0.1:1".into())],
            ..Options::default()
        },
        ..NodeOptions::default()
    };
    let node = tokio::select! {
        started = Node::start(&kubernetes, containerd, &api, &options) => {
            started.map_err(|error| failed(&error))?
        }
        () = stop.asked() => return Ok(()),
    };
    let registry = node.registry().address().to_string();
    node.containerd().mirror(HOST, &registry)?;
    let kubeconfig = reader(&api).await?;
    let kubeconfig = kubeconfig.to_string_lossy();
    say(&format!(
        "{HOST} is {registry}, for kubectl: --kubeconfig {kubeconfig} (may read pods and events)"
    ));

    let flags = [
        "--metrics-addr",
        "off",
        "--kubernetes",
        "on",
        "--kubeconfig",
        &kubeconfig,
    ];
    let page = Page::start(&server.args(flags), args.port).await?;
    let agent = agent.args(["--server-url", page.url(), "--node-name", node.name()]);
    let agent = agent.args(["--log-level", "error", "--socket"]);
    let mut agent = agent.args([node.containerd().socket()]).start()?;
    let mut watch = page.shown_by(&show).args(&args.watch).start()?;
    let mut trouble = None;
    let shown = {
        let play = async {
            trouble = play(args.seed, &api, &node).await.err();
        };
        show_until(&mut watch, play, args.time, stop).await
    };
    passed(agent.end(stop).await?)?;
    page.end(stop).await?;
    // A pull goes on when its pod is deleted, and would be waited for.
    node.registry().clear_faults();
    say("deleting the pods, and taking away the node and all that it had");
    tokio::select! {
        stopped = node.stop() => stopped?,
        // Dropped, it kills what it runs.
        () = stop.again() => {}
    }
    drop(api);
    passed(shown?)?;
    trouble.map_or(Ok(()), Err)
}

/// A kubeconfig of somebody who may do what the server must, and no more.
async fn reader(api: &ApiServer) -> Result<std::path::PathBuf, Failure> {
    let granted = api
        .admin()
        .grant(NOBODY, None, &["list", "watch"], &["pods", "events"]);
    granted.await.map_err(|error| failed(&error))?;
    Ok(api.kubeconfig(NOBODY)?)
}

/// Rolls out for ever.
async fn play(seed: u64, api: &ApiServer, node: &Node) -> Result<(), Failure> {
    let admin = api.admin();
    let library = Library::default();
    node.registry().everything().throttle(Some(LINE));
    let mut before: BTreeMap<&str, Rollout> = BTreeMap::new();
    for rollout in pods::endless(seed) {
        tokio::time::sleep(rollout.after).await;
        for (pull, ends) in rollout.images() {
            let (library, of) = (library.clone(), pull.clone());
            let made = tokio::task::spawn_blocking(move || library.make_to_run(&of, ends));
            let image = made.await.map_err(|error| failed(&error))?;
            node.registry().push(&pull.name(), &image);
        }
        let namespace = rollout.namespace;
        if let Some(old) = before.insert(rollout.name, rollout.clone()) {
            for pod in &old.pods {
                let path = format!("/api/v1/namespaces/{namespace}/pods/{pod}");
                admin
                    .delete_within(&path, 1)
                    .await
                    .map_err(|error| failed(&error))?;
            }
            // What it had is not needed any more, and memory ends.
            for (pull, _) in old.images() {
                let image = format!("{HOST}/{}", pull.name());
                let removed = node.containerd().cri().remove(&image).await;
                removed.map_err(|error| failed(&error))?;
            }
        } else {
            admin
                .namespace(namespace)
                .await
                .map_err(|error| failed(&error))?;
        }
        let spec: Value = rollout.spec(node.name(), HOST);
        for pod in &rollout.pods {
            let made = admin.pod(namespace, pod, spec.clone()).await;
            made.map_err(|error| failed(&error))?;
        }
    }
    Ok(())
}
