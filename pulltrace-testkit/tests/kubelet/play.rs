//! One node, and all scenarios on it at once: played, watched and judged.

use std::path::Path;
use std::time::Duration;

use pulltrace_testkit::containerd::{ContainerdBinary, Options};
use pulltrace_testkit::kubernetes::{
    ADMIN, ApiServer, Client, KubernetesBinary, Node, NodeOptions,
};
use pulltrace_testkit::program::{self, Agent, Server};
use pulltrace_testkit::wait;
use serde_json::{Value, json};

use crate::judge;
use crate::said::{End, Events, Slot};
use crate::scenario::{self, NOBODY, REGISTRY, Scenario, Until};
use crate::seen::Seen;

/// The longest that a scenario takes.
const END: Duration = Duration::from_secs(150);

/// Until a reader has seen what is so.
const SOON: Duration = Duration::from_secs(20);

/// What differed in a scenario, and what there is to read about it.
#[derive(Debug)]
pub(crate) struct Verdict {
    pub(crate) scenario: &'static str,
    pub(crate) differences: Vec<String>,
    /// How many seconds our durations are from the kubelet's.
    pub(crate) apart: Vec<f64>,
    pub(crate) story: Vec<String>,
}

/// Which node.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case<'a> {
    pub(crate) kubernetes: &'a KubernetesBinary,
    pub(crate) containerd: &'a ContainerdBinary,
    pub(crate) parallel: bool,
    /// Whether it may begin only one pull in two seconds.
    pub(crate) hurried: bool,
}

/// What a scenario is played with.
struct Stage<'a> {
    admin: &'a Client,
    node: &'a Node,
    events: &'a Events,
    seen: &'a Seen,
    parallel: bool,
}

pub(crate) async fn play(case: Case<'_>) -> Vec<Verdict> {
    let server = ApiServer::start(case.kubernetes).await.expect("it starts");
    let kubelet = if case.hurried {
        json!({"registryPullQPS": 1, "registryBurst": 1})
    } else {
        json!({"registryPullQPS": 0})
    };
    let mirrors = [REGISTRY, NOBODY].map(|host| (host.to_owned(), "127.0.0.1:1".to_owned()));
    let options = NodeOptions {
        containerd: Options {
            mirrors: mirrors.to_vec(),
            ..Options::quick()
        },
        parallel_pulls: case.parallel,
        kubelet,
    };
    let node = Node::start(case.kubernetes, case.containerd, &server, &options).await;
    let node = node.expect("the node becomes ready");
    let registry = node.registry();
    let address = registry.address().to_string();
    node.containerd()
        .mirror(REGISTRY, &address)
        .expect("a file");
    let volumes = case.containerd.at_least(2, 1);
    let scenarios = if case.hurried {
        scenario::too_many(registry)
    } else {
        scenario::all(registry, volumes)
    };
    for image in scenarios.iter().filter_map(|one| one.cached.as_ref()) {
        let pulled = node
            .containerd()
            .cri()
            .pull(image)
            .outcome_within(END)
            .await;
        pulled.expect("it is pulled");
    }

    let dir = tempfile::tempdir().expect("a folder");
    let kubeconfig = server.kubeconfig(ADMIN).expect("a kubeconfig");
    let path = program::find("pulltrace-server").expect("it is built");
    let kubeconfig = kubeconfig.to_string_lossy();
    let flags = [
        "--kubernetes",
        "on",
        "--kubeconfig",
        &kubeconfig,
        "--metrics-addr",
        "off",
    ];
    let served = Server::start_with(path, dir.path(), &flags).await;
    let served = served.expect("it starts");
    let agent = agent(&node, dir.path(), served.url()).await;
    let events = Events::of(server.admin()).await;
    let seen = Seen::of(served.url());
    let stage = Stage {
        admin: server.admin(),
        node: &node,
        events: &events,
        seen: &seen,
        parallel: case.parallel,
    };
    let played = scenarios.iter().map(|scenario| stage.run(scenario));
    let mut verdicts = futures_util::future::join_all(played).await;
    let errors = seen.look(|all| std::mem::take(&mut all.errors));
    if !errors.is_empty() {
        verdicts.push(Verdict {
            scenario: "(asking)",
            differences: errors.into_iter().collect(),
            apart: Vec::new(),
            story: vec![agent.log(), served.log()],
        });
    }
    drop(agent);
    node.stop().await.expect("it stops");
    verdicts
}

async fn agent(node: &Node, dir: &Path, url: &str) -> Agent {
    let path = program::find("pulltrace-agent").expect("it is built");
    let socket = node.containerd().socket();
    let agent = Agent::start(path, dir, &socket, url, &["--metrics-addr", "off"]).await;
    agent.expect("it starts")
}

impl Stage<'_> {
    async fn run(&self, scenario: &Scenario) -> Verdict {
        let mut differences = Vec::new();
        let name = scenario.name;
        self.admin.namespace(name).await.expect("a namespace");
        let mut pods = Vec::new();
        for (pod, spec) in &scenario.pods {
            let mut spec = spec.clone();
            spec["nodeName"] = self.node.name().into();
            spec["hostNetwork"] = true.into();
            spec["terminationGracePeriodSeconds"] = 1.into();
            pods.push(self.admin.pod(name, pod, spec).await.expect("a pod"));
        }
        let uids: Vec<String> = pods
            .iter()
            .map(|pod| {
                pod["metadata"]["uid"]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned()
            })
            .collect();
        if let Err(late) = self.until(scenario, &pods, &uids).await {
            differences.push(late);
        }
        // What is over is shown so.
        let quiet = wait::until("nothing of it is live", SOON, async || {
            let live = self.seen.look(|all| all.is_live(&uids));
            let open = self
                .slots(&pods)
                .iter()
                .any(|slot| matches!(slot.tries.last(), Some(None)));
            (!live && !open).then_some(())
        });
        if let Err(late) = quiet.await {
            differences.push(format!("{late}, though all is said"));
        }
        // What the kubelet said last, the server may still be told.
        let same = wait::until("it is told as the kubelet says", SOON, async || {
            let (found, _) = self.judge(scenario, &pods);
            found.is_empty().then_some(())
        });
        // What differs then, is told below.
        let _late = same.await;
        let (found, apart) = self.judge(scenario, &pods);
        differences.extend(found);
        let story = self.seen.look(|all| {
            let mut story = self.events.told(name);
            let rows = all.rows.values();
            let mine = rows.filter(|row| row.pods.iter().any(|link| link.namespace == name));
            story.extend(mine.map(judge::line));
            let summaries = all
                .summaries
                .iter()
                .filter(|((namespace, _), _)| namespace == name);
            story.extend(summaries.map(|((_, pod), said)| format!("{pod}: {said:?}")));
            story
        });
        Verdict {
            scenario: name,
            differences,
            apart,
            story,
        }
    }

    /// What differs now, and how far durations are apart.
    fn judge(&self, scenario: &Scenario, pods: &[Value]) -> (Vec<String>, Vec<f64>) {
        let (mut differences, mut apart) = (Vec::new(), Vec::new());
        let slots = self.slots(pods);
        self.seen.look(|all| {
            for slot in &slots {
                let same = slots.iter().filter(|other| other.image == slot.image);
                let shared = same.count() > 1;
                let (parallel, fails) = (self.parallel, scenario.fails);
                let found = judge::differences(slot, shared, parallel, fails, all, &mut apart);
                let of = format!("{}[{}]", slot.pod, slot.name);
                differences.extend(found.into_iter().map(|text| format!("{of} {text}")));
            }
            if scenario.until != Until::DeletedMidway {
                differences.extend(judge::view(&slots, scenario.fails, all));
            }
        });
        (differences, apart)
    }

    fn slots(&self, pods: &[Value]) -> Vec<Slot> {
        pods.iter().flat_map(|pod| self.events.slots(pod)).collect()
    }

    /// Waits until a scenario is over; what is missing where it never is.
    async fn until(
        &self,
        scenario: &Scenario,
        pods: &[Value],
        uids: &[String],
    ) -> Result<(), String> {
        let late = |error: wait::TimedOut| error.to_string();
        match scenario.until {
            Until::Runs => self.runs(scenario.name, pods).await,
            Until::Fails(times) => self.fails(pods, times).await.map_err(late),
            Until::FoundLater => {
                self.fails(pods, 1).await.map_err(late)?;
                scenario::push_later(self.node.registry());
                self.runs(scenario.name, pods).await
            }
            Until::DeletedMidway => {
                let pulls = wait::until("its image is pulled", END, async || {
                    self.seen.look(|all| {
                        let mut now = all.now.iter().filter_map(|id| all.rows.get(id));
                        now.any(|row| {
                            let mine = row.pods.iter().any(|link| uids.contains(&link.uid));
                            mine && row.downloaded_bytes.is_some_and(|bytes| bytes > 0)
                        })
                        .then_some(())
                    })
                });
                pulls.await.map_err(late)?;
                let path = format!("/api/v1/namespaces/{}/pods/web", scenario.name);
                let deleted = self.admin.delete_within(&path, 1).await;
                deleted.expect("it is deleted");
                let over = wait::until("its pull is over", END, async || {
                    let slots = self.slots(pods);
                    let pulled = |slot: &Slot| matches!(slot.tries.last(), Some(Some(_)));
                    slots.iter().all(pulled).then_some(())
                });
                over.await.map_err(late)
            }
        }
    }

    async fn runs(&self, namespace: &str, pods: &[Value]) -> Result<(), String> {
        let path = format!("/api/v1/namespaces/{namespace}/pods");
        let all = wait::until("all its pods run", END, async || {
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

    async fn fails(&self, pods: &[Value], times: usize) -> Result<(), wait::TimedOut> {
        wait::until(format!("it failed {times} times"), END, async || {
            let fails = |slot: &Slot| {
                let failed = slot
                    .tries
                    .iter()
                    .filter(|end| matches!(end, Some(End::Failed(_))));
                failed.count() >= times
            };
            self.slots(pods).iter().any(fails).then_some(())
        })
        .await
    }
}
