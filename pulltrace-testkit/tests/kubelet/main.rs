//! Real kubelets. That the testkit's node is one: it pulls by a private containerd, one image after the other or
//! several at once, and leaves the machine as it was. And that agent and server, as they are deployed, tell of pods
//! what their kubelet says: who waits for which pull, what is queued, why it failed, how long it took.
//!
//! Only where `PULLTRACE_KUBELET` is set, for it needs `cargo xtask kubernetes node`. The versions of containerd are
//! those of `PULLTRACE_CONTAINERD` (`1.6,2.4` where that is not set).

mod judge;
mod play;
mod said;
mod scenario;
mod seen;
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

use play::Case;
use table::Table;

/// The longest that anything is waited for.
const SOON: Duration = Duration::from_secs(90);

const VERSIONS: &str = "1.6,2.4";

fn main() {
    // By which requests are made; a second one would be an error of ours.
    rustls::crypto::ring::default_provider()
        .install_default()
        .expect("the first");
    let mut arguments = Arguments::from_args();
    // There can be one node on a machine.
    arguments.test_threads = Some(1);
    let set = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let mut trials = Vec::new();
    let table = Table::default();
    if set("PULLTRACE_KUBELET").is_some() {
        let versions = set("PULLTRACE_CONTAINERD").unwrap_or_else(|| VERSIONS.to_owned());
        for version in versions.split(',').map(|version| version.trim().to_owned()) {
            for (name, parallel) in [("pulls_one_by_one", false), ("pulls_at_once", true)] {
                let of = version.clone();
                let name = format!("{version}::a_node_{name}_and_leaves_nothing");
                trials.push(Trial::test(name, move || run(&of, parallel)));
                let (of, told) = (version.clone(), table.clone());
                let which = if parallel { "parallel" } else { "serial" };
                let name = format!("{version}::{which}::pods_are_told_what_their_kubelet_says");
                trials.push(Trial::test(name, move || tell(&of, parallel, &told)));
            }
        }
    }
    let ran = libtest_mimic::run(&arguments, trials);
    table.print();
    ran.exit();
}

/// All scenarios on one kind of node.
fn tell(version: &str, parallel: bool, table: &Table) -> Result<(), Failed> {
    let needs = || Ok::<_, Missing>((KubernetesBinary::node()?, need::containerd(version)?));
    let Some((kubernetes, containerd)) = need::or_skip(needs()) else {
        return Ok(());
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let mut verdicts = Vec::new();
    for hurried in [false, true] {
        // One that pulls one by one never hurries.
        if hurried && !parallel {
            continue;
        }
        let case = Case {
            kubernetes: &kubernetes,
            containerd: &containerd,
            parallel,
            hurried,
        };
        verdicts.extend(runtime.block_on(play::play(case)));
    }
    let which = if parallel { "parallel" } else { "serial" };
    let differ = table.take(&format!("{version} {which}"), verdicts);
    if differ.is_empty() {
        Ok(())
    } else {
        Err(format!("not as the kubelet says:\n{differ}").into())
    }
}

fn run(version: &str, parallel: bool) -> Result<(), Failed> {
    let needs = || Ok::<_, Missing>((KubernetesBinary::node()?, need::containerd(version)?));
    let Some((kubernetes, containerd)) = need::or_skip(needs()) else {
        return Ok(());
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(pull_two(&kubernetes, &containerd, parallel));
    Ok(())
}

async fn pull_two(kubernetes: &KubernetesBinary, containerd: &ContainerdBinary, parallel: bool) {
    let before = machine();
    let server = ApiServer::start(kubernetes).await.expect("it starts");
    let admin = server.admin();
    let options = NodeOptions {
        containerd: Options::quick(),
        parallel_pulls: parallel,
        ..NodeOptions::default()
    };
    let node = Node::start(kubernetes, containerd, &server, &options).await;
    let node = node.expect("the node becomes ready");
    let dir = node.containerd().dir().to_owned();

    admin.namespace("shop").await.expect("a namespace");
    let layers = ["web", "db"].map(|name| Layer::random(name, mib(2)));
    let [web, db] = &layers;
    let gates = [web, db].map(|layer| node.registry().blob(layer.digest()).hold(mib(1)));
    let [web_gate, db_gate] = gates;
    pod(admin, &node, "web", web).await;
    web_gate.await_reached(SOON).await.expect("web is pulled");
    pod(admin, &node, "db", db).await;
    event(admin, "db", "Pulling").await;
    if parallel {
        db_gate.await_reached(SOON).await.expect("db is pulled too");
    } else {
        let asked = node.registry().requests();
        let asked = asked
            .iter()
            .any(|request| request.repository.as_deref() == Some("db"));
        assert!(!asked, "db waits for web in the kubelet");
    }
    web_gate.release();
    db_gate.release();
    let pulled = event(admin, "db", "Pulled").await;
    let message = pulled["message"].as_str().unwrap_or_default();
    assert!(message.contains("including waiting"), "{message}");
    for name in ["web", "db"] {
        wait::until(format!("{name} runs"), SOON, async || {
            let path = format!("/api/v1/namespaces/shop/pods/{name}");
            let pod = admin.get(&path).await.ok()?;
            (pod["status"]["phase"] == "Running").then_some(())
        })
        .await
        .unwrap_or_else(|error| panic!("{error}:\n{}", node.log_tail(30)));
    }

    if parallel {
        // As a test that fails does it.
        drop(node);
    } else {
        node.stop().await.expect("it stops");
    }
    assert!(!dir.exists(), "{} is left", dir.display());
    assert_eq!(
        mounts_below(&dir).expect("the mounts"),
        [""; 0].map(PathBuf::from)
    );
    assert_eq!(machine(), before);
}

async fn pod(admin: &Client, node: &Node, name: &str, layer: &Layer) {
    let image = Node::image(std::slice::from_ref(layer));
    let image = node.registry().push(&format!("{name}:1"), &image);
    let spec = json!({
        "nodeName": node.name(),
        "hostNetwork": true,
        "terminationGracePeriodSeconds": 1,
        "containers": [{"name": "app", "image": image}],
    });
    admin.pod("shop", name, spec).await.expect("a pod");
}

/// What the kubelet said of this pod for this reason, as soon as it has.
async fn event(admin: &Client, pod: &str, reason: &str) -> Value {
    let of = format!("reason={reason},involvedObject.name={pod}");
    let path = format!("/api/v1/namespaces/shop/events?fieldSelector={of}");
    let said = wait::until(format!("{pod} is {reason}"), SOON, async || {
        let list = admin.get(&path).await.ok()?;
        let event = list["items"].get(0)?;
        assert_eq!(event["source"]["component"], "kubelet");
        Some(event.clone())
    });
    said.await.unwrap_or_else(|error| panic!("{error}"))
}

/// What a kubelet changes of the machine.
fn machine() -> Vec<String> {
    let settings = ["vm/overcommit_memory", "kernel/panic"].map(|name| {
        fs::read_to_string(format!("/proc/sys/{name}")).expect("a setting of the kernel")
    });
    let folders = [
        "/var/lib/kubelet",
        "/var/log/containers",
        "/sys/fs/cgroup",
        "/sys/fs/cgroup/cpu",
    ]
    .map(|folder| {
        let inside = fs::read_dir(folder).into_iter().flatten().flatten();
        let mut inside: Vec<_> = inside.map(|entry| entry.path()).collect();
        // Others have their containers at the same time.
        inside.retain(|path| !path.to_string_lossy().contains("/pt-"));
        inside.sort();
        format!("{folder}: {inside:?}")
    });
    settings.into_iter().chain(folders).collect()
}
