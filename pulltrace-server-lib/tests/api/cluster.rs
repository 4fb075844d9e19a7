//! A server with scripted sources of pods and events.

use pulltrace_core::kubelet::KubeletMessage;
use pulltrace_core::{KubeName, NodeTime, PodRef, RequestedImage};
use pulltrace_server_lib::ServerBuilder;
use pulltrace_server_lib::cluster::{
    ImageConsumerKind, ImagePresence, Pod, PodImage, PodUpdate, PullEvent, PullEventUpdate,
    ScriptHandle, ScriptedSource, SourceError, SourceFailure, SourceFailureKind,
};

use crate::test_server::{TestServer, with_deadline};

/// A server with scripted sources, and their handles.
pub(crate) struct TestCluster {
    pub(crate) server: TestServer,
    pods: ScriptHandle<PodUpdate>,
    events: ScriptHandle<PullEventUpdate>,
}

impl TestCluster {
    /// Starts with empty, completed lists of pods and events.
    pub(crate) async fn start() -> Self {
        Self::with(|server| server).await
    }

    pub(crate) async fn with(setting: impl FnOnce(ServerBuilder) -> ServerBuilder) -> Self {
        let cluster = Self::without_updates(setting).await;
        for update in [PodUpdate::Init, PodUpdate::InitDone] {
            cluster.pods.try_send(update).unwrap();
        }
        for update in [PullEventUpdate::Init, PullEventUpdate::InitDone] {
            cluster.events.try_send(update).unwrap();
        }
        cluster.wait_for_condition("pods", true).await;
        cluster.wait_for_condition("events", true).await;
        cluster
    }

    /// Starts without sending any updates.
    pub(crate) async fn without_updates(
        setting: impl FnOnce(ServerBuilder) -> ServerBuilder,
    ) -> Self {
        let (pod_source, pods) = ScriptedSource::new();
        let (event_source, events) = ScriptedSource::new();
        let set =
            |server: ServerBuilder| setting(server.pods(pod_source).pull_events(event_source));
        Self { server: TestServer::with_settings(set).await, pods, events }
    }

    pub(crate) fn send_pod(&self, update: PodUpdate) {
        self.pods.try_send(update).unwrap();
    }

    /// Makes the source of pods fail.
    pub(crate) fn fail_pods(&self, error: SourceError) {
        self.pods.fail(error).unwrap();
    }

    pub(crate) fn send_event(&self, update: PullEventUpdate) {
        self.events.try_send(update).unwrap();
    }

    /// Waits for a condition to hold or not, and returns its reason.
    pub(crate) async fn wait_for_condition(&self, name: &str, holds: bool) -> String {
        with_deadline(name, async {
            loop {
                let ready = self.server.get("/readyz").await;
                assert_eq!(ready.status, 200, "a source never makes the server unready");
                let conditions = ready.json()["conditions"].as_array().unwrap().clone();
                let one = conditions.iter().find(|one| one["name"] == name).unwrap();
                assert_eq!(one["required"], false);
                if one["holds"] == holds {
                    return one["reason"].as_str().unwrap().to_owned();
                }
                tokio::task::yield_now().await;
            }
        })
        .await
    }

    /// Waits until the response for a path matches, and returns it.
    pub(crate) async fn wait_for(
        &self,
        path: &str,
        is: impl Fn(&serde_json::Value) -> bool,
    ) -> serde_json::Value {
        with_deadline(path, async {
            loop {
                let answer = self.server.get(path).await;
                if answer.status == 200 {
                    let answer = answer.json();
                    if is(&answer) {
                        return answer;
                    }
                }
                tokio::task::yield_now().await;
            }
        })
        .await
    }
}

pub(crate) fn failure(kind: SourceFailureKind, message: &str) -> SourceFailure {
    SourceFailure { kind, message: message.to_owned() }
}

/// Parses `shop/web`; `shop/web#2` is another pod of that name.
pub(crate) fn pod_ref(name: &str) -> PodRef {
    let (namespace, name) = name.split_once('/').unwrap();
    let (short, number) = name.split_once('#').unwrap_or((name, "1"));
    let name = |text: &str| text.parse::<KubeName>().unwrap();
    PodRef {
        namespace: name(namespace),
        name: name(short),
        uid: format!("{namespace}-{short}-{number}").parse().unwrap(),
    }
}

/// A pod with one container that waits for this image.
pub(crate) fn waiting_pod(name: &str, node: &str, image: &str) -> Pod {
    let reason = Some("ContainerCreating".into());
    let state = ImagePresence::Waiting { reason, message: None };
    build_pod(name, node, image, state)
}

/// The same pod with the image present.
pub(crate) fn running_pod(name: &str, node: &str, image: &str) -> Pod {
    let since = Some("2026-11-24T20:00:05Z".parse().unwrap());
    build_pod(name, node, image, ImagePresence::Present { root_digest: None, started_at: since })
}

fn build_pod(name: &str, node: &str, image: &str, presence: ImagePresence) -> Pod {
    Pod {
        pod: pod_ref(name),
        node: node.parse().unwrap(),
        images: vec![PodImage {
            consumer: "app".parse().unwrap(),
            name: "app".into(),
            kind: ImageConsumerKind::Container,
            image: RequestedImage::from_text(image),
            presence,
        }],
    }
}

/// A kubelet event for the pod's only container, at this second after the start.
pub(crate) fn kubelet_event(
    name: &str,
    node: &str,
    (reason, message): (&str, &str),
    second: u64,
) -> PullEventUpdate {
    let message = KubeletMessage::parse(reason, message).unwrap();
    let start: NodeTime = crate::test_server::START.parse().unwrap();
    let at = start.saturating_add(std::time::Duration::from_secs(second));
    PullEventUpdate::Apply(PullEvent {
        name: format!("{name}.{reason}.{second}").into(),
        pod: pod_ref(name),
        node: node.parse().unwrap(),
        consumer: Some("app".parse().unwrap()),
        message,
        first_seen: at,
        last_seen: at,
        count: 1,
    })
}
