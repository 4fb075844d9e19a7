//! Sources of pods and events that say what a test says.

use pulltrace_core::{KubeName, NodeTime, PodRef, WantedImage};
use pulltrace_server_lib::Builder;
use pulltrace_server_lib::cluster::{
    KubeletWord, Pod, PodImage, PodUpdate, PullEvent, PullEventUpdate, Script, Scripted, Seen,
    SlotKind, Trouble, TroubleKind,
};

use crate::world::{World, within};

/// A server that hears of a cluster, and who says what it hears.
pub(crate) struct Cluster {
    pub(crate) world: World,
    pods: Script<PodUpdate>,
    events: Script<PullEventUpdate>,
}

impl Cluster {
    /// Its pods and events are listed; there are none.
    pub(crate) async fn start() -> Self {
        Self::with(|server| server).await
    }

    pub(crate) async fn with(setting: impl FnOnce(Builder) -> Builder) -> Self {
        let cluster = Self::silent(setting).await;
        for update in [PodUpdate::Reset, PodUpdate::Done] {
            cluster.pods.say(update).unwrap();
        }
        for update in [PullEventUpdate::Reset, PullEventUpdate::Done] {
            cluster.events.say(update).unwrap();
        }
        cluster.until_condition("pods", true).await;
        cluster.until_condition("events", true).await;
        cluster
    }

    /// Neither source has said anything.
    pub(crate) async fn silent(setting: impl FnOnce(Builder) -> Builder) -> Self {
        let (pod_source, pods) = Scripted::new();
        let (event_source, events) = Scripted::new();
        let set = |server: Builder| setting(server.pods(pod_source).pull_events(event_source));
        Self {
            world: World::with(set).await,
            pods,
            events,
        }
    }

    pub(crate) fn pod(&self, update: PodUpdate) {
        self.pods.say(update).unwrap();
    }

    pub(crate) fn event(&self, update: PullEventUpdate) {
        self.events.say(update).unwrap();
    }

    /// The condition's reason, once it holds or does not.
    pub(crate) async fn until_condition(&self, name: &str, holds: bool) -> String {
        within(name, async {
            loop {
                let ready = self.world.get("/readyz").await;
                assert_eq!(ready.status, 200, "no source makes a server unready");
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

    /// Waits until a path answers so, and gives what it answered.
    pub(crate) async fn until(
        &self,
        path: &str,
        is: impl Fn(&serde_json::Value) -> bool,
    ) -> serde_json::Value {
        within(path, async {
            loop {
                let answer = self.world.get(path).await;
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

pub(crate) fn trouble(kind: TroubleKind, message: &str) -> Trouble {
    Trouble {
        kind,
        message: message.to_owned(),
    }
}

/// `shop/web`, or with `shop/web#2` another pod of that name.
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

/// A pod on a node whose only container wants this image and does not have it.
pub(crate) fn waits(name: &str, node: &str, image: &str) -> Pod {
    let reason = Some("ContainerCreating".into());
    let state = Seen::Waiting {
        reason,
        message: None,
    };
    pod(name, node, image, state)
}

/// The same pod with the image.
pub(crate) fn runs(name: &str, node: &str, image: &str) -> Pod {
    let since = Some("2026-11-24T20:00:05Z".parse().unwrap());
    pod(name, node, image, Seen::Present { root: None, since })
}

fn pod(name: &str, node: &str, image: &str, state: Seen) -> Pod {
    Pod {
        pod: pod_ref(name),
        node: node.parse().unwrap(),
        images: vec![PodImage {
            slot: "app".parse().unwrap(),
            name: "app".into(),
            kind: SlotKind::Container,
            image: WantedImage::of(image),
            state,
        }],
    }
}

/// What the kubelet says of the pod's only container at this second after the start.
pub(crate) fn says(
    name: &str,
    node: &str,
    (reason, message): (&str, &str),
    second: u64,
) -> PullEventUpdate {
    let (word, image) = KubeletWord::of(reason, message).unwrap();
    let start: NodeTime = crate::world::START.parse().unwrap();
    let at = start.saturating_add(std::time::Duration::from_secs(second));
    PullEventUpdate::Applied(PullEvent {
        name: format!("{name}.{reason}.{second}").into(),
        pod: pod_ref(name),
        node: node.parse().unwrap(),
        slot: Some("app".parse().unwrap()),
        image,
        first: at,
        last: at,
        count: 1,
        word,
    })
}
