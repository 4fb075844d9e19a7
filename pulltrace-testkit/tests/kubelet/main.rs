//! Real kubelets. Checks that the test kit's node is one: it pulls with a private containerd,
//! serially or in parallel, and leaves the machine unchanged. Checks that agent and server, as
//! deployed, agree with the kubelet on which pods wait for which pull, what is queued, why pulls
//! failed and how long they took.
//!
//! Runs only if `PULLTRACE_KUBELET` is set, because it needs `cargo xtask kubernetes node`.
//! `PULLTRACE_CONTAINERD` selects the versions of containerd (default `1.6,2.4`).

mod compare;
mod kubelet_events;
mod observed;
mod play;
mod scenario;
mod table;

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use libtest_mimic::{Arguments, Failed, Trial};
use pulltrace_testkit::containerd::{ContainerdBinary, Options, mounts_below};
use pulltrace_testkit::image::{Layer, mib};
use pulltrace_testkit::kubernetes::{ApiServer, Client, KubernetesBinary, Node, NodeOptions};
use pulltrace_testkit::need::{self, Missing};
use pulltrace_testkit::wait;
use serde_json::{Value, json};

use play::NodeCase;
use table::ResultTable;

/// Timeout of every wait.
const TIMEOUT: Duration = Duration::from_secs(90);

const VERSIONS: &str = "1.6,2.4";

fn main() {
    // The HTTP client needs a default provider; installing a second one would be a bug.
    rustls::crypto::ring::default_provider().install_default().expect("first provider");
    let mut arguments = Arguments::from_args();
    // A machine can have only one node.
    arguments.test_threads = Some(1);
    let set = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let mut trials = Vec::new();
    let table = ResultTable::default();
    if set("PULLTRACE_KUBELET").is_some() {
        let versions = set("PULLTRACE_CONTAINERD").unwrap_or_else(|| VERSIONS.to_owned());
        for version in versions.split(',').map(|version| version.trim().to_owned()) {
            for (name, parallel) in [("pulls_serially", false), ("pulls_in_parallel", true)] {
                let of = version.clone();
                let name = format!("{version}::node_{name}_and_leaves_nothing");
                trials.push(Trial::test(
                    name.clone(),
                    need::named_test(name, move || run_node_test(&of, parallel)),
                ));
                let (of, results) = (version.clone(), table.clone());
                let which = if parallel { "parallel" } else { "serial" };
                let name = format!("{version}::{which}::pulls_match_kubelet_events");
                trials.push(Trial::test(
                    name.clone(),
                    need::named_test(name, move || run_scenarios(&of, parallel, &results)),
                ));
            }
        }
    }
    let ran = libtest_mimic::run(&arguments, trials);
    table.print();
    ran.exit();
}

/// Runs all scenarios on one kind of node.
fn run_scenarios(version: &str, parallel: bool, table: &ResultTable) -> Result<(), Failed> {
    let needs = || Ok::<_, Missing>((KubernetesBinary::node()?, need::containerd(version)?));
    let Some((kubernetes, containerd)) = need::or_skip(needs()) else {
        return Ok(());
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut results = Vec::new();
    for rate_limited in [false, true] {
        // A kubelet that pulls serially does not reach its rate limit.
        if rate_limited && !parallel {
            continue;
        }
        let case =
            NodeCase { kubernetes: &kubernetes, containerd: &containerd, parallel, rate_limited };
        results.extend(runtime.block_on(play::play(case)));
    }
    let which = if parallel { "parallel" } else { "serial" };
    let differences = table.add_column(&format!("{version} {which}"), results);
    if differences.is_empty() {
        Ok(())
    } else {
        Err(format!("differences from the kubelet:\n{differences}").into())
    }
}

fn run_node_test(version: &str, parallel: bool) -> Result<(), Failed> {
    let needs = || Ok::<_, Missing>((KubernetesBinary::node()?, need::containerd(version)?));
    let Some((kubernetes, containerd)) = need::or_skip(needs()) else {
        return Ok(());
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(pull_two_images(&kubernetes, &containerd, parallel));
    Ok(())
}

async fn pull_two_images(
    kubernetes: &KubernetesBinary,
    containerd: &ContainerdBinary,
    parallel: bool,
) {
    let before = machine_state();
    let server = ApiServer::start(kubernetes).await.expect("started");
    let admin = server.admin();
    let options = NodeOptions {
        containerd: Options::in_memory(),
        parallel_pulls: parallel,
        ..NodeOptions::default()
    };
    let node = Node::start(kubernetes, containerd, &server, &options).await;
    let node = node.expect("the node becomes ready");
    let dir = node.containerd().dir().to_owned();

    admin.create_namespace("shop").await.expect("a namespace");
    let layers = ["web", "db"].map(|name| Layer::random(name, mib(2)));
    let [web, db] = &layers;
    let gates = [web, db].map(|layer| node.registry().blob(layer.digest()).hold(mib(1)));
    let [web_gate, db_gate] = gates;
    pod(admin, &node, "web", web).await;
    web_gate.await_reached(TIMEOUT).await.expect("web is being pulled");
    pod(admin, &node, "db", db).await;
    wait_event(admin, "db", "Pulling").await;
    if parallel {
        db_gate.await_reached(TIMEOUT).await.expect("db is being pulled too");
    } else {
        let asked = node.registry().requests();
        let asked = asked.iter().any(|request| request.repository.as_deref() == Some("db"));
        assert!(!asked, "db waits for web in the kubelet");
    }
    web_gate.release();
    db_gate.release();
    let pulled = wait_event(admin, "db", "Pulled").await;
    let message = pulled["message"].as_str().unwrap_or_default();
    assert!(message.contains("including waiting"), "{message}");
    for name in ["web", "db"] {
        wait::until(format!("{name} runs"), TIMEOUT, async || {
            let path = format!("/api/v1/namespaces/shop/pods/{name}");
            let pod = admin.get(&path).await.ok()?;
            (pod["status"]["phase"] == "Running").then_some(())
        })
        .await
        .unwrap_or_else(|error| panic!("{error}:\n{}", node.log_tail(30)));
    }

    if parallel {
        // Dropped, as in a failing test.
        drop(node);
    } else {
        node.stop().await.expect("stopped");
    }
    assert!(!dir.exists(), "{} still exists", dir.display());
    assert_eq!(mounts_below(&dir).expect("readable mount table"), [""; 0].map(PathBuf::from));
    assert_eq!(machine_state(), before);
}

async fn pod(admin: &Client, node: &Node, name: &str, layer: &Layer) {
    let image = Node::running_image(std::slice::from_ref(layer));
    let image = node.registry().push(&format!("{name}:1"), &image);
    let spec = json!({
        "nodeName": node.name(),
        "hostNetwork": true,
        "terminationGracePeriodSeconds": 1,
        "containers": [{"name": "app", "image": image}],
    });
    admin.create_pod("shop", name, spec).await.expect("a pod");
}

/// Waits for the kubelet's event for this pod and reason.
async fn wait_event(admin: &Client, pod: &str, reason: &str) -> Value {
    let of = format!("reason={reason},involvedObject.name={pod}");
    let path = format!("/api/v1/namespaces/shop/events?fieldSelector={of}");
    let event =
        wait::until(format!("the kubelet reports {reason} for {pod}"), TIMEOUT, async || {
            let list = admin.get(&path).await.ok()?;
            let event = list["items"].get(0)?;
            assert_eq!(event["source"]["component"], "kubelet");
            Some(event.clone())
        });
    event.await.unwrap_or_else(|error| panic!("{error}"))
}

/// Returns the machine settings and directories that a kubelet changes.
fn machine_state() -> Vec<String> {
    let settings = ["vm/overcommit_memory", "kernel/panic"]
        .map(|name| fs::read_to_string(format!("/proc/sys/{name}")).expect("kernel setting"));
    let folders =
        ["/var/lib/kubelet", "/var/log/containers", "/sys/fs/cgroup", "/sys/fs/cgroup/cpu"].map(
            |folder| {
                let inside = fs::read_dir(folder).into_iter().flatten().flatten();
                let mut inside: Vec<_> = inside.map(|entry| entry.path()).collect();
                // Other tests run containers at the same time.
                inside.retain(|path| !path.to_string_lossy().contains("/pt-"));
                inside.sort();
                format!("{folder}: {inside:?}")
            },
        );
    settings.into_iter().chain(folders).collect()
}
