//! The environment of a scenario with pods: in addition to [`Kit`], a namespace of a real API
//! server that the server watches. The test plays the kubelet: it emits events, pulls over CRI, and
//! writes pod status.

use std::collections::BTreeMap;
use std::pin::Pin;

use jiff::Timestamp;
use pulltrace_core::wire::v1::{LinkEvidence, PodList, PodPulls, PullStatus};
use pulltrace_testkit::CallError;
use pulltrace_testkit::clock;
use pulltrace_testkit::cri::Pull;
use pulltrace_testkit::image::Image;
use pulltrace_testkit::kubernetes::{ADMIN, ApiServer, Client, EventRecorder, KubernetesBinary};
use pulltrace_testkit::need;
use pulltrace_testkit::wait;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use super::stream::{self, Stream};
use crate::kit::{Kit, TIMEOUT, needs};
use crate::reader::{ReaderLog, is_pull_of};

/// The server's only permissions.
pub(crate) const VERBS: &[&str] = &["list", "watch"];

/// A scenario with pods, named after the user-visible behaviour.
pub(crate) struct PodScenario {
    pub(crate) name: &'static str,
    /// Gets its own API server; the server watches all its namespaces.
    pub(crate) own: bool,
    pub(crate) play: fn(PodKit) -> Pin<Box<dyn Future<Output = PodKit>>>,
}

/// Creates a [`PodScenario`] from a function that takes and returns the kit.
macro_rules! pod_scenario {
    ($play:ident $(, own = $own:expr)?) => {{
        #[allow(unused_mut, unused_assignments)]
        let mut own = false;
        $(own = $own;)?
        $crate::pods::kit::PodScenario { name: stringify!($play), own, play: |pods| Box::pin($play(pods)) }
    }};
}
pub(crate) use pod_scenario;

// Fields are dropped in this order: clients before servers.
pub(crate) struct PodKit {
    pub(crate) kit: Kit,
    /// A client of the API server with all rights.
    pub(crate) admin: Client,
    pub(crate) kubelet: EventRecorder,
    pub(crate) namespace: String,
    /// The user name of the server.
    pub(crate) user: String,
    pub(crate) own_server: Option<ApiServer>,
}

/// A pod from the kubelet's view.
pub(crate) struct Pod {
    pub(crate) name: String,
    pub(crate) object: Value,
    /// Last state and image ID of each container.
    states: BTreeMap<String, (Value, String)>,
}

/// An announced pull attempt.
pub(crate) struct Attempt {
    slot: String,
    pub(crate) reference: String,
    part: Option<String>,
    announced: Timestamp,
}

/// An attempt whose pull runs.
pub(crate) struct RunningPull {
    attempt: Attempt,
    started: Timestamp,
    pull: Pull,
}

/// Returns the API server shared by all scenarios with their own namespace.
async fn shared() -> Option<&'static ApiServer> {
    static SHARED: OnceCell<ApiServer> = OnceCell::const_new();
    // Before the cell, so that each scenario reports its own skip.
    let binary = need::or_skip(KubernetesBinary::apiserver())?;
    let start = async || ApiServer::start(&binary).await.expect("started");
    Some(SHARED.get_or_init(start).await)
}

async fn api_server() -> Option<ApiServer> {
    let binary = need::or_skip(KubernetesBinary::apiserver())?;
    Some(ApiServer::start(&binary).await.expect("started"))
}

/// Returns a unique namespace name for a scenario.
fn namespace_name(scenario: &str, version: &str) -> String {
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
        // A client's connections end with the runtime of its scenario.
        let admin = server.client(ADMIN).await.expect("a client");
        let namespace = namespace_name(self.name, version);
        admin.create_namespace(&namespace).await.expect("a namespace");
        let account = admin.create_service_account(&namespace, "pulltrace").await;
        account.expect("an account");
        let user = format!("system:serviceaccount:{namespace}:pulltrace");
        let place = (!self.own).then_some(namespace.as_str());
        for what in ["pods", "events"] {
            // The grant ends with its namespace or server; scenarios that revoke it create their
            // own.
            if !self.own {
                let grant = admin.grant(&user, place, VERBS, &[what]).await;
                grant.expect("right granted");
            }
        }
        let token = admin.create_token(&namespace, "pulltrace", &[], None).await;
        let kubeconfig = server.kubeconfig(&token.expect("a token"));
        let kubeconfig = kubeconfig.expect("a kubeconfig");
        let kubeconfig = kubeconfig.to_string_lossy();
        let mut flags = vec!["--metrics-addr", "127.0.0.1:0", "--kubeconfig", &kubeconfig];
        if !self.own {
            flags.extend(["--watch-namespaces", &namespace]);
        }
        let pods = PodKit {
            kit: Kit::start(needs, &[], &flags).await,
            kubelet: EventRecorder::new(&admin, "node-1"),
            admin,
            namespace,
            user,
            own_server: own,
        };
        if !self.own {
            pods.wait_live("pods").await;
            pods.wait_live("events").await;
        }
        let pods = (self.play)(pods).await;
        pods.kit.reader.assert_consistent();
        for row in pods.kit.reader.log().rows() {
            let links = row.pods.iter().chain(&row.candidates);
            let mut others = links.filter(|link| !link.namespace.starts_with(&pods.namespace));
            assert!(others.next().is_none(), "{row:#?}");
        }
        pods.kit.assert_converged().await;
    }
}

/// Formats a duration like Go, truncated to milliseconds.
fn go_duration(from: Timestamp, to: Timestamp) -> String {
    let millis = to.duration_since(from).as_millis().max(0);
    let (minutes, rest) = (millis / 60_000, millis % 60_000);
    let minutes = if minutes > 0 { format!("{minutes}m") } else { String::new() };
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
    /// Marks the pod as deleted: its status is no longer written.
    pub(crate) fn mark_deleted(&mut self) {
        self.states.clear();
    }

    /// Returns the image of a container or volume, and its field path in events; events of volumes
    /// have none.
    fn image_of(&self, slot: &str) -> (String, Option<String>) {
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

impl PodKit {
    /// Creates a pod whose containers are waiting.
    pub(crate) async fn create_pod(&self, name: &str, spec: Value) -> Pod {
        let mut spec = spec;
        spec["nodeName"] = "node-1".into();
        let object = self.admin.create_pod(&self.namespace, name, spec).await;
        let object = object.expect("a pod");
        let waits = |reason: &str| json!({"waiting": {"reason": reason}});
        let init = items(&object["spec"], "initContainers").next().is_some();
        let word = if init { "PodInitializing" } else { "ContainerCreating" };
        let states = ["initContainers", "containers"].into_iter();
        let states = states.flat_map(|list| items(&object["spec"], list));
        let states = states.map(|one| (text(&one["name"]), (waits(word), String::new())));
        let mut pod = Pod { name: name.to_owned(), states: states.collect(), object };
        self.write_status(&mut pod).await;
        pod
    }

    /// Creates a pod with one container, `app`.
    pub(crate) async fn create_app_pod(&self, name: &str, reference: &str) -> Pod {
        let spec = json!({"containers": [{"name": "app", "image": reference}]});
        self.create_pod(name, spec).await
    }

    /// Pushes an image and returns the reference for pods.
    pub(crate) fn push(&self, name: &str, image: &Image) -> String {
        self.kit.registry.push(name, image)
    }

    /// Sets the state of a container.
    pub(crate) async fn set_container_state(&self, pod: &mut Pod, container: &str, state: Value) {
        if let Some(known) = pod.states.get_mut(container) {
            known.0 = state;
            self.write_status(pod).await;
        }
    }

    async fn write_status(&self, pod: &mut Pod) {
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
        let written = self.admin.patch_pod_status(&self.namespace, &pod.name, status);
        written.await.expect("status written");
    }

    /// Emits an event about a part of a pod.
    pub(crate) async fn emit_event(
        &mut self,
        pod: &Pod,
        part: Option<&str>,
        reason: &str,
        message: &str,
    ) -> Timestamp {
        let kind = if reason == "Failed" { "Warning" } else { "Normal" };
        let at = clock::wall();
        let stored = self.kubelet.emit(at, &pod.object, part, kind, reason, message);
        stored.await.expect("event stored");
        at
    }

    /// Announces the pull of a container's or volume's image, before the kubelet's queue.
    pub(crate) async fn announce_pull(&mut self, pod: &Pod, slot: &str) -> Attempt {
        let (reference, part) = pod.image_of(slot);
        let message = format!("Pulling image \"{reference}\"");
        let announced = self.emit_event(pod, part.as_deref(), "Pulling", &message).await;
        Attempt { slot: slot.to_owned(), reference, part, announced }
    }

    /// Starts the pull: it has left the kubelet's queue.
    pub(crate) fn start_pull(&self, what: Attempt) -> RunningPull {
        RunningPull {
            started: clock::wall(),
            pull: self.kit.containerd.cri().pull(&what.reference),
            attempt: what,
        }
    }

    /// Announces and starts a pull.
    pub(crate) async fn announce_and_start(&mut self, pod: &Pod, slot: &str) -> RunningPull {
        let what = self.announce_pull(pod, slot).await;
        self.start_pull(what)
    }

    /// Waits for the end of a pull and reports it with containerd's text; then sets the container's
    /// state.
    pub(crate) async fn finish_pull(
        &mut self,
        pod: &mut Pod,
        running: RunningPull,
    ) -> Result<(), CallError> {
        let RunningPull { attempt: what, started: begun, pull } = running;
        let outcome = pull.outcome().await;
        self.report_outcome(pod, &what, begun, outcome).await
    }

    async fn report_outcome(
        &mut self,
        pod: &mut Pod,
        what: &Attempt,
        begun: Timestamp,
        outcome: Result<String, CallError>,
    ) -> Result<(), CallError> {
        let (part, reference) = (what.part.as_deref(), &what.reference);
        let now = clock::wall();
        match outcome {
            Ok(_) => {
                let image = self.kit.containerd.cri().image(reference).await;
                let image = image.expect("CRI responds").expect("image is present");
                let message = format!(
                    "Successfully pulled image \"{reference}\" in {} ({} including waiting). \
                     Image size: {} bytes.",
                    go_duration(begun, now),
                    go_duration(what.announced, now),
                    image.size
                );
                self.emit_event(pod, part, "Pulled", &message).await;
                if let Some(known) = pod.states.get_mut(&what.slot) {
                    known.1 = image.digests.first().cloned().unwrap_or(image.id);
                }
                let runs = json!({"running": {"startedAt": clock::wall().to_string()}});
                self.set_container_state(pod, &what.slot, runs).await;
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
                self.emit_event(pod, part, "Failed", &message).await;
                self.emit_event(pod, part, "Failed", "Error: ErrImagePull").await;
                let waits = json!({"waiting": {"reason": "ErrImagePull", "message": why}});
                self.set_container_state(pod, &what.slot, waits).await;
                Err(error)
            }
        }
    }

    /// Returns the server's response as JSON.
    pub(crate) async fn get(&self, path: &str) -> Value {
        self.try_get(path).await.expect("server responds")
    }

    pub(crate) async fn try_get(&self, path: &str) -> Option<Value> {
        let text = stream::get(self.kit.server.address(), path).await?;
        serde_json::from_str(&text).ok()
    }

    /// Returns the images of a pod; `None` if it is not known to wait.
    pub(crate) async fn pod_view(&self, pod: &str) -> Option<PodPulls> {
        let path = format!("/api/v1/namespaces/{}/pods/{pod}/pulls", self.namespace);
        serde_json::from_value(self.try_get(&path).await?).ok()
    }

    /// Waits until `look` finds something in the view of a pod.
    pub(crate) async fn wait_pod_view<T>(
        &self,
        pod: &str,
        what: &str,
        mut look: impl FnMut(&PodPulls) -> Option<T>,
    ) -> T {
        let seen = wait::until(what, TIMEOUT, async || look(&self.pod_view(pod).await?)).await;
        match seen {
            Ok(seen) => seen,
            Err(error) => panic!("{error}: {:#?}; {}", self.pod_view(pod).await, self.kit.logs()),
        }
    }

    /// Returns the pods that wait, or did so recently.
    pub(crate) async fn waiting_pods(&self) -> PodList {
        serde_json::from_value(self.get("/api/v1/pods").await).expect("a list")
    }

    /// Opens the event stream of a pod.
    pub(crate) async fn follow_pod(&self, pod: &str) -> Stream {
        let path = format!("/api/v1/namespaces/{}/pods/{pod}/pulls?follow=1", self.namespace);
        Stream::open(self.kit.server.address(), &path).await
    }

    /// Waits until a condition of `/readyz` holds.
    pub(crate) async fn wait_live(&self, condition: &str) {
        self.wait_condition(condition, "live", true).await;
    }

    /// Waits until a condition of `/readyz` fails with this reason, and asserts that the server
    /// stays ready.
    pub(crate) async fn wait_unavailable(&self, condition: &str, word: &str) {
        let ready = self.wait_condition(condition, word, false).await;
        assert!(ready, "server must stay ready without {condition}");
    }

    async fn wait_condition(&self, name: &str, word: &str, holds: bool) -> bool {
        let seen = async || {
            let answer = self.try_get("/readyz").await?;
            let of = items(&answer, "conditions").find(|one| one["name"] == name)?;
            let is = of["holds"] == holds && text(&of["reason"]).starts_with(word);
            is.then_some(answer["ready"] == true)
        };
        let seen = wait::until(format!("{name} is {word}"), TIMEOUT, seen).await;
        match seen {
            Ok(ready) => ready,
            Err(error) => {
                panic!("{error}: {:?}; {}", self.try_get("/readyz").await, self.kit.logs())
            }
        }
    }

    /// Waits until exactly these pods and containers are linked to the pull of this path.
    pub(crate) async fn wait_linked(&self, path: &str, to: &[(&str, &str)]) -> PullStatus {
        let linked = |log: &ReaderLog| {
            let row = log.find(path)?;
            let pods: Vec<_> = links(row);
            (pods == to).then(|| row.clone())
        };
        self.kit.until(&format!("{path} is linked to {to:?}"), linked).await
    }

    /// Returns the listed pulls of this path.
    pub(crate) async fn listed(&self, path: &str) -> Vec<PullStatus> {
        let mut rows = self.kit.list().await;
        rows.retain(|row| is_pull_of(row, path));
        rows
    }
}

/// Returns the pods and containers linked to a pull.
pub(crate) fn links(row: &PullStatus) -> Vec<(&str, &str)> {
    let links = row.pods.iter();
    links.map(|link| (link.pod_name.as_str(), link.container.as_str())).collect()
}

/// Returns the evidence of the only link of a pull.
pub(crate) fn evidence(row: &PullStatus) -> Option<LinkEvidence> {
    assert_eq!(row.pods.len(), 1, "{row:#?}");
    row.pods[0].evidence
}
