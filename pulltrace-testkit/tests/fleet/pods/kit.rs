//! What a scenario with pods gets beside a kit: a namespace of a real API server that the server listens to, and
//! who plays the kubelet: announces, pulls by CRI, says what came of it, and writes the status.

use std::collections::BTreeMap;
use std::pin::Pin;

use jiff::Timestamp;
use pulltrace_core::wire::v1::{LinkEvidence, PodList, PodPulls, PullStatus};
use pulltrace_testkit::CallError;
use pulltrace_testkit::clock;
use pulltrace_testkit::cri::Pull;
use pulltrace_testkit::image::Image;
use pulltrace_testkit::kubernetes::{ADMIN, ApiServer, Client, Kubelet, KubernetesBinary};
use pulltrace_testkit::need;
use pulltrace_testkit::wait;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use super::stream::{self, Stream};
use crate::kit::{Kit, SOON, needs};
use crate::reader::{Log, is_of};

/// What the server may ask for, and nothing else.
pub(crate) const MAY: &[&str] = &["list", "watch"];

/// A scenario with pods, named after what a user sees.
pub(crate) struct PodScenario {
    pub(crate) name: &'static str,
    /// Whether it gets an API server of its own, of which the server hears all namespaces.
    pub(crate) own: bool,
    pub(crate) play: fn(Pods) -> Pin<Box<dyn Future<Output = Pods>>>,
}

/// Makes a [`PodScenario`] of a function from the kit to the kit.
macro_rules! pod_scenario {
    ($play:ident $(, own = $own:expr)?) => {{
        #[allow(unused_mut, unused_assignments)]
        let mut own = false;
        $(own = $own;)?
        $crate::pods::kit::PodScenario { name: stringify!($play), own, play: |pods| Box::pin($play(pods)) }
    }};
}
pub(crate) use pod_scenario;

// The order is that in which they go: those who ask before those who answer.
pub(crate) struct Pods {
    pub(crate) kit: Kit,
    /// Asks the API server as somebody who may do anything.
    pub(crate) admin: Client,
    pub(crate) kubelet: Kubelet,
    pub(crate) namespace: String,
    /// As which user the server asks.
    pub(crate) user: String,
    pub(crate) own: Option<ApiServer>,
}

/// A pod, as its kubelet knows it.
pub(crate) struct Pod {
    pub(crate) name: String,
    pub(crate) object: Value,
    /// What was last said of each container.
    states: BTreeMap<String, (Value, String)>,
}

/// A try that was announced.
pub(crate) struct Try {
    slot: String,
    pub(crate) reference: String,
    part: Option<String>,
    announced: Timestamp,
}

/// A try whose pull runs.
pub(crate) struct Running {
    what: Try,
    begun: Timestamp,
    pull: Pull,
}

/// An API server that all scenarios share which have a namespace of their own.
async fn shared() -> Option<&'static ApiServer> {
    static SHARED: OnceCell<Option<ApiServer>> = OnceCell::const_new();
    SHARED.get_or_init(api_server).await.as_ref()
}

async fn api_server() -> Option<ApiServer> {
    let binary = need::or_skip(KubernetesBinary::apiserver())?;
    Some(ApiServer::start(&binary).await.expect("it starts"))
}

/// A name that no other scenario has.
fn unique(scenario: &str, version: &str) -> String {
    let version = version.replace('.', "-");
    let name: String = scenario.replace('_', "-").chars().take(50).collect();
    format!("{}-{version}", name.trim_end_matches('-'))
}

impl PodScenario {
    pub(crate) async fn run(&self, version: &str) {
        let Some(needs) = need::or_skip(needs(version)) else {
            return;
        };
        let own = if self.own { api_server().await } else { None };
        let server = match &own {
            Some(server) => server,
            None => match shared().await {
                Some(server) => server,
                None => return,
            },
        };
        // The connections of a client end with the runtime of its scenario.
        let admin = server.client(ADMIN).expect("a client");
        let namespace = unique(self.name, version);
        admin.namespace(&namespace).await.expect("a namespace");
        let account = admin.service_account(&namespace, "pulltrace").await;
        account.expect("an account");
        let user = format!("system:serviceaccount:{namespace}:pulltrace");
        let place = (!self.own).then_some(namespace.as_str());
        for what in ["pods", "events"] {
            // It goes with its namespace, or its server; who takes it back makes it anew.
            if !self.own {
                let grant = admin.grant(&user, place, MAY, &[what]).await;
                grant.expect("it is granted");
            }
        }
        let token = admin.token(&namespace, "pulltrace", &[], None).await;
        let kubeconfig = server.kubeconfig(&token.expect("a token"));
        let kubeconfig = kubeconfig.expect("a kubeconfig");
        let kubeconfig = kubeconfig.to_string_lossy();
        let mut flags = vec!["--metrics-addr", "127.0.0.1:0", "--kubeconfig", &kubeconfig];
        if !self.own {
            flags.extend(["--watch-namespaces", &namespace]);
        }
        let pods = Pods {
            kit: Kit::start(needs, &[], &flags).await,
            kubelet: Kubelet::new(&admin, "node-1"),
            admin,
            namespace,
            user,
            own,
        };
        if !self.own {
            pods.hears("pods").await;
            pods.hears("events").await;
        }
        let pods = (self.play)(pods).await;
        pods.kit.reader.assert_true();
        for row in pods.kit.reader.log().rows() {
            let links = row.pods.iter().chain(&row.candidates);
            let mut others = links.filter(|link| !link.namespace.starts_with(&pods.namespace));
            assert!(others.next().is_none(), "{row:#?}");
        }
        pods.kit.converged().await;
    }
}

/// As Go writes a duration that was cut to milliseconds.
fn go(from: Timestamp, to: Timestamp) -> String {
    let millis = to.duration_since(from).as_millis().max(0);
    let (minutes, rest) = (millis / 60_000, millis % 60_000);
    let minutes = if minutes > 0 {
        format!("{minutes}m")
    } else {
        String::new()
    };
    match rest {
        1..1000 if minutes.is_empty() => format!("{rest}ms"),
        _ => {
            let seconds = format!("{}.{:03}", rest / 1000, rest % 1000);
            let seconds = seconds.trim_end_matches('0').trim_end_matches('.');
            format!("{minutes}{seconds}s")
        }
    }
}

fn items<'a>(spec: &'a Value, list: &str) -> impl Iterator<Item = &'a Value> {
    spec[list].as_array().into_iter().flatten()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

impl Pod {
    /// It is deleted: its kubelet writes no status any more.
    pub(crate) fn forget(&mut self) {
        self.states.clear();
    }

    /// What a slot wants, and how the kubelet calls that part; of a volume it does not call it.
    fn wants(&self, slot: &str) -> (String, Option<String>) {
        let spec = &self.object["spec"];
        for list in ["containers", "initContainers"] {
            if let Some(one) = items(spec, list).find(|one| one["name"] == slot) {
                return (text(&one["image"]), Some(format!("spec.{list}{{{slot}}}")));
            }
        }
        let volume = items(spec, "volumes").find(|one| one["name"] == slot);
        (text(&volume.expect("a slot")["image"]["reference"]), None)
    }
}

impl Pods {
    /// Makes a pod whose kubelet has begun with it: its containers are created.
    pub(crate) async fn pod(&self, name: &str, spec: Value) -> Pod {
        let mut spec = spec;
        spec["nodeName"] = "node-1".into();
        let object = self.admin.pod(&self.namespace, name, spec).await;
        let object = object.expect("a pod");
        let waits = |reason: &str| json!({"waiting": {"reason": reason}});
        let init = items(&object["spec"], "initContainers").next().is_some();
        let word = if init {
            "PodInitializing"
        } else {
            "ContainerCreating"
        };
        let states = ["initContainers", "containers"].into_iter();
        let states = states.flat_map(|list| items(&object["spec"], list));
        let states = states.map(|one| (text(&one["name"]), (waits(word), String::new())));
        let mut pod = Pod {
            name: name.to_owned(),
            states: states.collect(),
            object,
        };
        self.writes(&mut pod).await;
        pod
    }

    /// A pod with one container `app`.
    pub(crate) async fn app(&self, name: &str, reference: &str) -> Pod {
        let spec = json!({"containers": [{"name": "app", "image": reference}]});
        self.pod(name, spec).await
    }

    /// Pushes an image, and returns how pods name it.
    pub(crate) fn push(&self, name: &str, image: &Image) -> String {
        self.kit.registry.push(name, image)
    }

    /// Says how it stands with a container.
    pub(crate) async fn stands(&self, pod: &mut Pod, container: &str, state: Value) {
        if let Some(known) = pod.states.get_mut(container) {
            known.0 = state;
            self.writes(pod).await;
        }
    }

    async fn writes(&self, pod: &mut Pod) {
        let of = |list: &str| -> Vec<Value> {
            let list = items(&pod.object["spec"], list);
            let status = list.map(|one| {
                let (state, id) = &pod.states[one["name"].as_str().unwrap_or_default()];
                json!({
                    "name": one["name"], "image": one["image"], "imageID": id, "state": state,
                    "ready": state.get("running").is_some(), "restartCount": 0,
                })
            });
            status.collect()
        };
        let status = json!({
            "phase": "Pending",
            "containerStatuses": of("containers"),
            "initContainerStatuses": of("initContainers"),
        });
        let written = self.admin.pod_status(&self.namespace, &pod.name, status);
        written.await.expect("the status is written");
    }

    /// Says something of a part of a pod.
    pub(crate) async fn says(
        &mut self,
        pod: &Pod,
        part: Option<&str>,
        reason: &str,
        message: &str,
    ) -> Timestamp {
        let kind = if reason == "Failed" {
            "Warning"
        } else {
            "Normal"
        };
        let at = clock::wall();
        let said = self
            .kubelet
            .says(at, &pod.object, part, kind, reason, message);
        said.await.expect("the event is stored");
        at
    }

    /// Announces the pull of what a slot wants: before the kubelet's queue.
    pub(crate) async fn announces(&mut self, pod: &Pod, slot: &str) -> Try {
        let (reference, part) = pod.wants(slot);
        let message = format!("Pulling image \"{reference}\"");
        let announced = self.says(pod, part.as_deref(), "Pulling", &message).await;
        Try {
            slot: slot.to_owned(),
            reference,
            part,
            announced,
        }
    }

    /// Begins the pull: it has left the kubelet's queue.
    pub(crate) fn begins(&self, what: Try) -> Running {
        Running {
            begun: clock::wall(),
            pull: self.kit.containerd.cri().pull(&what.reference),
            what,
        }
    }

    /// Both at once.
    pub(crate) async fn pulls(&mut self, pod: &Pod, slot: &str) -> Running {
        let what = self.announces(pod, slot).await;
        self.begins(what)
    }

    /// Waits for the end of a pull and says it, in what this containerd said; then the container runs, or waits.
    pub(crate) async fn ends(&mut self, pod: &mut Pod, running: Running) -> Result<(), CallError> {
        let Running { what, begun, pull } = running;
        let outcome = pull.outcome().await;
        self.told(pod, &what, begun, outcome).await
    }

    async fn told(
        &mut self,
        pod: &mut Pod,
        what: &Try,
        begun: Timestamp,
        outcome: Result<String, CallError>,
    ) -> Result<(), CallError> {
        let (part, reference) = (what.part.as_deref(), &what.reference);
        let now = clock::wall();
        match outcome {
            Ok(_) => {
                let image = self.kit.containerd.cri().image(reference).await;
                let image = image.expect("it answers").expect("the image is there");
                let message = format!(
                    "Successfully pulled image \"{reference}\" in {} ({} including waiting). \
                     Image size: {} bytes.",
                    go(begun, now),
                    go(what.announced, now),
                    image.size
                );
                self.says(pod, part, "Pulled", &message).await;
                if let Some(known) = pod.states.get_mut(&what.slot) {
                    known.1 = image.digests.first().cloned().unwrap_or(image.id);
                }
                let runs = json!({"running": {"startedAt": clock::wall().to_string()}});
                self.stands(pod, &what.slot, runs).await;
                Ok(())
            }
            Err(error) => {
                let prefix = if error.code == "NotFound" {
                    "rpc error: code = NotFound desc = "
                } else {
                    ""
                };
                let why = format!("{prefix}{}", error.message);
                let message = format!("Failed to pull image \"{reference}\": {why}");
                self.says(pod, part, "Failed", &message).await;
                self.says(pod, part, "Failed", "Error: ErrImagePull").await;
                let waits = json!({"waiting": {"reason": "ErrImagePull", "message": why}});
                self.stands(pod, &what.slot, waits).await;
                Err(error)
            }
        }
    }

    /// What the server answers.
    pub(crate) async fn get(&self, path: &str) -> Value {
        self.try_get(path).await.expect("the server answers")
    }

    pub(crate) async fn try_get(&self, path: &str) -> Option<Value> {
        let text = stream::get(self.kit.server.address(), path).await?;
        serde_json::from_str(&text).ok()
    }

    /// What a pod waits for; `None` where it is not known to wait.
    pub(crate) async fn view(&self, pod: &str) -> Option<PodPulls> {
        let path = format!("/api/v1/namespaces/{}/pods/{pod}/pulls", self.namespace);
        serde_json::from_value(self.try_get(&path).await?).ok()
    }

    /// Waits until what a pod waits for is as asked.
    pub(crate) async fn until_view<T>(
        &self,
        pod: &str,
        what: &str,
        mut look: impl FnMut(&PodPulls) -> Option<T>,
    ) -> T {
        let seen = wait::until(what, SOON, async || look(&self.view(pod).await?)).await;
        match seen {
            Ok(seen) => seen,
            Err(error) => panic!("{error}: {:#?}; {}", self.view(pod).await, self.kit.logs()),
        }
    }

    /// The pods that wait, or did a moment ago.
    pub(crate) async fn waiting(&self) -> PodList {
        serde_json::from_value(self.get("/api/v1/pods").await).expect("a list")
    }

    /// Follows a pod.
    pub(crate) async fn follow(&self, pod: &str) -> Stream {
        let path = format!(
            "/api/v1/namespaces/{}/pods/{pod}/pulls?follow=1",
            self.namespace
        );
        Stream::open(self.kit.server.address(), &path).await
    }

    /// Waits until a condition of `/readyz` holds.
    pub(crate) async fn hears(&self, condition: &str) {
        self.condition(condition, "live", true).await;
    }

    /// Waits until a condition of `/readyz` does not hold, for this reason; the server goes on.
    pub(crate) async fn misses(&self, condition: &str, word: &str) {
        let ready = self.condition(condition, word, false).await;
        assert!(
            ready,
            "a server that does not hear of {condition} is still ready"
        );
    }

    async fn condition(&self, name: &str, word: &str, holds: bool) -> bool {
        let seen = async || {
            let answer = self.try_get("/readyz").await?;
            let of = items(&answer, "conditions").find(|one| one["name"] == name)?;
            let is = of["holds"] == holds && text(&of["reason"]).starts_with(word);
            is.then_some(answer["ready"] == true)
        };
        let seen = wait::until(format!("{name} is {word}"), SOON, seen).await;
        match seen {
            Ok(ready) => ready,
            Err(error) => panic!(
                "{error}: {:?}; {}",
                self.try_get("/readyz").await,
                self.kit.logs()
            ),
        }
    }

    /// Waits until exactly these containers wait for the pull of this path, and returns it.
    pub(crate) async fn linked(&self, path: &str, to: &[(&str, &str)]) -> PullStatus {
        let linked = |log: &Log| {
            let row = log.find(path)?;
            let pods: Vec<_> = links(row);
            (pods == to).then(|| row.clone())
        };
        self.kit
            .until(&format!("{path} is linked to {to:?}"), linked)
            .await
    }

    /// The list's rows of this path.
    pub(crate) async fn listed(&self, path: &str) -> Vec<PullStatus> {
        let mut rows = self.kit.list().await;
        rows.retain(|row| is_of(row, path));
        rows
    }
}

/// The pods and containers that wait for a pull.
pub(crate) fn links(row: &PullStatus) -> Vec<(&str, &str)> {
    let links = row.pods.iter();
    links
        .map(|link| (link.pod_name.as_str(), link.container.as_str()))
        .collect()
}

/// How it is known of the only pod that it waits for a pull.
pub(crate) fn evidence(row: &PullStatus) -> Option<LinkEvidence> {
    assert_eq!(row.pods.len(), 1, "{row:#?}");
    row.pods[0].evidence
}
