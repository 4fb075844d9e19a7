//! Runs all scenarios on one node in parallel and compares the results with the kubelet's events.

use std::path::Path;
use std::time::Duration;

use pulltrace_testkit::containerd::{ContainerdBinary, Options};
use pulltrace_testkit::kubernetes::{
    ADMIN, ApiServer, Client, KubernetesBinary, Node, NodeOptions,
};
use pulltrace_testkit::program::{self, Agent, Server};
use pulltrace_testkit::wait;
use serde_json::{Value, json};

use crate::compare;
use crate::kubelet_events::{AttemptResult, Consumer, KubeletEvents};
use crate::observed::Observer;
use crate::scenario::{self, Goal, REFUSED_REGISTRY, REGISTRY, Scenario};

/// Timeout of a scenario.
const SCENARIO_TIMEOUT: Duration = Duration::from_secs(150);

/// Timeout for readers to see the final state.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(20);

/// The differences found in a scenario, with the log to explain them.
#[derive(Debug)]
pub(crate) struct ScenarioResult {
    pub(crate) scenario: &'static str,
    pub(crate) differences: Vec<String>,
    /// Absolute differences between pulltrace's durations and the kubelet's, in seconds.
    pub(crate) deviations: Vec<f64>,
    pub(crate) log: Vec<String>,
}

/// Configuration of a node.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NodeCase<'a> {
    pub(crate) kubernetes: &'a KubernetesBinary,
    pub(crate) containerd: &'a ContainerdBinary,
    pub(crate) parallel: bool,
    /// Limits the kubelet to one pull per second, with a burst of one.
    pub(crate) rate_limited: bool,
}

/// Everything that a scenario needs.
struct Stage<'a> {
    admin: &'a Client,
    node: &'a Node,
    events: &'a KubeletEvents,
    observer: &'a Observer,
    parallel: bool,
}

pub(crate) async fn play(case: NodeCase<'_>) -> Vec<ScenarioResult> {
    let server = ApiServer::start(case.kubernetes).await.expect("started");
    let kubelet = if case.rate_limited {
        json!({"registryPullQPS": 1, "registryBurst": 1})
    } else {
        json!({"registryPullQPS": 0})
    };
    let mirrors =
        [REGISTRY, REFUSED_REGISTRY].map(|host| (host.to_owned(), "127.0.0.1:1".to_owned()));
    let options = NodeOptions {
        containerd: Options { mirrors: mirrors.to_vec(), ..Options::in_memory() },
        parallel_pulls: case.parallel,
        kubelet,
    };
    let node = Node::start(case.kubernetes, case.containerd, &server, &options).await;
    let node = node.expect("the node becomes ready");
    let registry = node.registry();
    let address = registry.address().to_string();
    node.containerd().mirror(REGISTRY, &address).expect("a file");
    let volumes = case.containerd.at_least(2, 1);
    let scenarios = if case.rate_limited {
        scenario::rate_limited(registry)
    } else {
        scenario::all(registry, volumes)
    };
    for image in scenarios.iter().filter_map(|one| one.cached.as_ref()) {
        let pulled = node.containerd().cri().pull(image).outcome_within(SCENARIO_TIMEOUT).await;
        pulled.expect("pull succeeds");
    }

    let dir = tempfile::tempdir().expect("a folder");
    let kubeconfig = server.kubeconfig(ADMIN).expect("a kubeconfig");
    let path = program::find("pulltrace-server").expect("program is built");
    let kubeconfig = kubeconfig.to_string_lossy();
    let flags = ["--kubernetes", "on", "--kubeconfig", &kubeconfig, "--metrics-addr", "off"];
    let served = Server::start_with(path, dir.path(), &flags).await;
    let served = served.expect("started");
    let agent = agent(&node, dir.path(), served.url()).await;
    let events = KubeletEvents::watch(server.admin()).await;
    let observer = Observer::start(served.url());
    let stage = Stage {
        admin: server.admin(),
        node: &node,
        events: &events,
        observer: &observer,
        parallel: case.parallel,
    };
    let played = scenarios.iter().map(|scenario| stage.run(scenario));
    let mut results = futures_util::future::join_all(played).await;
    let errors = observer.with(|all| std::mem::take(&mut all.errors));
    if !errors.is_empty() {
        results.push(ScenarioResult {
            scenario: "(requests)",
            differences: errors.into_iter().collect(),
            deviations: Vec::new(),
            log: vec![agent.log(), served.log()],
        });
    }
    drop(agent);
    node.stop().await.expect("stopped");
    results
}

async fn agent(node: &Node, dir: &Path, url: &str) -> Agent {
    let path = program::find("pulltrace-agent").expect("program is built");
    let socket = node.containerd().socket();
    let agent = Agent::start(path, dir, &socket, url, &["--metrics-addr", "off"]).await;
    agent.expect("started")
}

impl Stage<'_> {
    async fn run(&self, scenario: &Scenario) -> ScenarioResult {
        let mut differences = Vec::new();
        let name = scenario.name;
        self.admin.create_namespace(name).await.expect("a namespace");
        let mut pods = Vec::new();
        for (pod, spec) in &scenario.pods {
            let mut spec = spec.clone();
            spec["nodeName"] = self.node.name().into();
            spec["hostNetwork"] = true.into();
            spec["terminationGracePeriodSeconds"] = 1.into();
            pods.push(self.admin.create_pod(name, pod, spec).await.expect("a pod"));
        }
        let uids: Vec<String> = pods
            .iter()
            .map(|pod| pod["metadata"]["uid"].as_str().unwrap_or_default().to_owned())
            .collect();
        if let Err(late) = self.wait_goal(scenario, &pods, &uids).await {
            differences.push(late);
        }
        // Ended pulls are shown as ended.
        let quiet = wait::until("all its pulls have ended", SETTLE_TIMEOUT, async || {
            let live = self.observer.with(|all| all.is_live(&uids));
            let open =
                self.consumers(&pods).iter().any(|slot| matches!(slot.attempts.last(), Some(None)));
            (!live && !open).then_some(())
        });
        if let Err(late) = quiet.await {
            differences.push(format!("{late}, although the kubelet has reported the end"));
        }
        // The kubelet's last event may still be on its way to the server.
        let same = wait::until("pulls match the kubelet's events", SETTLE_TIMEOUT, async || {
            let (found, _) = self.compare(scenario, &pods);
            found.is_empty().then_some(())
        });
        // Remaining differences are reported below.
        let _late = same.await;
        let (found, apart) = self.compare(scenario, &pods);
        differences.extend(found);
        let log = self.observer.with(|all| {
            let mut story = self.events.lines(name);
            let rows = all.rows.values();
            let mine = rows.filter(|row| row.pods.iter().any(|link| link.namespace == name));
            story.extend(mine.map(compare::format_row));
            let summaries = all.summaries.iter().filter(|((namespace, _), _)| namespace == name);
            story.extend(summaries.map(|((_, pod), said)| format!("{pod}: {said:?}")));
            story
        });
        ScenarioResult { scenario: name, differences, deviations: apart, log }
    }

    /// Returns the current differences and the deviations of durations.
    fn compare(&self, scenario: &Scenario, pods: &[Value]) -> (Vec<String>, Vec<f64>) {
        let (mut differences, mut apart) = (Vec::new(), Vec::new());
        let slots = self.consumers(pods);
        self.observer.with(|all| {
            for slot in &slots {
                let same = slots.iter().filter(|other| other.image == slot.image);
                let shared = same.count() > 1;
                let (parallel, fails) = (self.parallel, scenario.expected_failure);
                let found = compare::differences(slot, shared, parallel, fails, all, &mut apart);
                let of = format!("{}[{}]", slot.pod, slot.name);
                differences.extend(found.into_iter().map(|text| format!("{of} {text}")));
            }
            if scenario.goal != Goal::DeletedMidway {
                differences.extend(compare::pod_view_differences(
                    &slots,
                    scenario.expected_failure,
                    all,
                ));
            }
        });
        (differences, apart)
    }

    fn consumers(&self, pods: &[Value]) -> Vec<Consumer> {
        pods.iter().flat_map(|pod| self.events.consumers(pod)).collect()
    }

    /// Waits for the goal of a scenario; returns what is missing after the timeout.
    async fn wait_goal(
        &self,
        scenario: &Scenario,
        pods: &[Value],
        uids: &[String],
    ) -> Result<(), String> {
        let late = |error: wait::TimedOut| error.to_string();
        match scenario.goal {
            Goal::Runs => self.wait_running(scenario.name, pods).await,
            Goal::Fails(times) => self.wait_failed(pods, times).await.map_err(late),
            Goal::PushedLater => {
                self.wait_failed(pods, 1).await.map_err(late)?;
                scenario::push_later(self.node.registry());
                self.wait_running(scenario.name, pods).await
            }
            Goal::DeletedMidway => {
                let pulls =
                    wait::until("its image is being pulled", SCENARIO_TIMEOUT, async || {
                        self.observer.with(|all| {
                            let mut now = all.current.iter().filter_map(|id| all.rows.get(id));
                            now.any(|row| {
                                let mine = row.pods.iter().any(|link| uids.contains(&link.uid));
                                mine && row.downloaded_bytes.is_some_and(|bytes| bytes > 0)
                            })
                            .then_some(())
                        })
                    });
                pulls.await.map_err(late)?;
                let path = format!("/api/v1/namespaces/{}/pods/web", scenario.name);
                let deleted = self.admin.delete_with_grace(&path, 1).await;
                deleted.expect("deleted");
                let over = wait::until("its pull has ended", SCENARIO_TIMEOUT, async || {
                    let slots = self.consumers(pods);
                    let pulled = |slot: &Consumer| matches!(slot.attempts.last(), Some(Some(_)));
                    slots.iter().all(pulled).then_some(())
                });
                over.await.map_err(late)
            }
        }
    }

    async fn wait_running(&self, namespace: &str, pods: &[Value]) -> Result<(), String> {
        let path = format!("/api/v1/namespaces/{namespace}/pods");
        let all = wait::until("all its pods run", SCENARIO_TIMEOUT, async || {
            let list = self.admin.get(&path).await.ok()?;
            let list = list["items"].as_array()?;
            let runs = |pod: &Value| {
                let statuses = pod["status"]["containerStatuses"].as_array();
                let ready = |one: &Value| one["ready"] == true;
                pod["status"]["phase"] == "Running"
                    && statuses.is_some_and(|all| all.iter().all(ready))
            };
            (list.len() == pods.len() && list.iter().all(runs)).then_some(())
        });
        all.await.map_err(|late| late.to_string())
    }

    async fn wait_failed(&self, pods: &[Value], times: usize) -> Result<(), wait::TimedOut> {
        wait::until(format!("it has failed {times} times"), SCENARIO_TIMEOUT, async || {
            let fails = |slot: &Consumer| {
                let failed = slot
                    .attempts
                    .iter()
                    .filter(|end| matches!(end, Some(AttemptResult::Failed(_))));
                failed.count() >= times
            };
            self.consumers(pods).iter().any(fails).then_some(())
        })
        .await
    }
}
