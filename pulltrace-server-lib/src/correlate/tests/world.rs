//! A node with a kubelet and pods, told to a correlator, and what readers see of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use pulltrace_core::{
    Bytes, ChangeKind, Digest, Links, Mono, NodeTime, Outcome, Percent, Phase, PodRef, Pull,
    PullId, Repository, Slot, WantedImage,
};

use super::super::{Correlator, PodView};
use crate::clock::ServerNow;
use crate::cluster::{
    KubeletWord, Pod, PodImage, PodUpdate, PullEvent, PullEventUpdate, Seen, SlotKind,
};
use crate::fleet::{Changes, Ended, NodeView, PullChange};
use crate::limits::Limits;
use pulltrace_core::wire::v1::NodeState;

pub(super) struct World {
    pub(super) correlator: Correlator,
    pub(super) now: ServerNow,
    pub(super) rows: BTreeMap<PullId, (Arc<Pull>, Arc<Links>)>,
    pub(super) pods: BTreeMap<String, PodView>,
    pub(super) ended: Vec<Ended>,
    /// The ids of rows in the order in which they began.
    pub(super) began: Vec<PullId>,
}

/// Seconds of the node's clock.
pub(super) fn at(seconds: f64) -> NodeTime {
    let base = NodeTime::from_unix(1_795_536_000, 0);
    let by = Duration::from_secs_f64(seconds.abs());
    if seconds < 0.0 {
        base.saturating_sub(by)
    } else {
        base.saturating_add(by)
    }
}

pub(super) fn digest(letter: char) -> Digest {
    format!("sha256:{}", letter.to_string().repeat(64))
        .parse()
        .unwrap()
}

pub(super) fn lease_on(node: &str, number: u32, started: f64) -> Pull {
    let id = PullId::Lease {
        node: node.parse().unwrap(),
        namespace: "k8s.io".parse().unwrap(),
        lease: format!("{number}-lease").parse().unwrap(),
        created: at(started),
    };
    Pull::new(id, Phase::Resolving, at(started))
}

pub(super) fn lease(number: u32, started: f64) -> Pull {
    lease_on("w1", number, started)
}

/// Its manifest is here.
pub(super) fn resolved(mut pull: Pull, repository: &str, root: char) -> Pull {
    let (host, path) = repository.split_once('/').unwrap();
    pull.repository = Some(Repository::new(host, path).unwrap());
    pull.root = Some(digest(root));
    pull.phase = Phase::Downloading;
    pull.total = Some(Bytes(1_000));
    pull.resolved_at = Some(pull.started_at);
    pull
}

pub(super) fn completed(mut pull: Pull, ended: f64, names: &[&str]) -> Pull {
    pull.phase = Phase::Ended(Outcome::Completed);
    pull.percent = Some(Percent::DONE);
    pull.ended_at = Some(at(ended));
    (pull.rate, pull.eta) = (None, None);
    pull.names = names.iter().map(|name| name.parse().unwrap()).collect();
    pull
}

pub(super) fn failed(mut pull: Pull, ended: f64) -> Pull {
    pull.phase = Phase::Ended(Outcome::Failed);
    pull.failure = Some(pulltrace_core::Failure {
        reason: pulltrace_core::FailureReason::Unexplained,
        message: None,
    });
    pull.ended_at = Some(at(ended));
    pull
}

pub(super) fn pod_ref(name: &str) -> PodRef {
    // `web#2` is another pod of the name `web`.
    let (short, _) = name.split_once('#').unwrap_or((name, ""));
    PodRef {
        namespace: "shop".parse().unwrap(),
        name: short.parse().unwrap(),
        uid: format!("uid-{}", name.replace('#', "-")).parse().unwrap(),
    }
}

/// What a kubelet says at these seconds, for the `count`th time.
pub(super) fn says(
    pod: &str,
    slot: &str,
    reason: &str,
    message: &str,
    times: (f64, f64, u32),
) -> PullEvent {
    let (word, image) = KubeletWord::of(reason, message).expect("an event of an image");
    let (first, last, count) = times;
    PullEvent {
        name: format!("{pod}.{reason}.{message}").into(),
        pod: pod_ref(pod),
        node: "w1".parse().unwrap(),
        slot: (!slot.is_empty()).then(|| slot.parse::<Slot>().unwrap()),
        image,
        first: at(first.floor()),
        last: at(last.floor()),
        count,
        word,
    }
}

pub(super) fn pulling(pod: &str, slot: &str, image: &str, when: f64) -> PullEvent {
    let message = format!("Pulling image \"{image}\"");
    says(pod, slot, "Pulling", &message, (when, when, 1))
}

pub(super) fn pulled(
    pod: &str,
    slot: &str,
    image: &str,
    when: f64,
    took: f64,
    all: f64,
) -> PullEvent {
    let message = format!(
        "Successfully pulled image \"{image}\" in {took}s ({all}s including waiting). Image size: 1000 bytes."
    );
    says(pod, slot, "Pulled", &message, (when, when, 1))
}

pub(super) fn fails(
    pod: &str,
    slot: &str,
    image: &str,
    text: &str,
    times: (f64, f64, u32),
) -> PullEvent {
    let message = format!("Failed to pull image \"{image}\": {text}");
    says(pod, slot, "Failed", &message, times)
}

pub(super) fn waiting(slot: &str, image: &str) -> PodImage {
    PodImage {
        slot: slot.parse().unwrap(),
        name: slot.into(),
        kind: SlotKind::Container,
        image: WantedImage::of(image),
        state: Seen::Waiting {
            reason: Some("ContainerCreating".into()),
            message: None,
        },
    }
}

pub(super) fn running(slot: &str, image: &str, since: f64) -> PodImage {
    PodImage {
        state: Seen::Present {
            root: None,
            since: Some(at(since)),
        },
        ..waiting(slot, image)
    }
}

pub(super) fn pod(name: &str, images: Vec<PodImage>) -> Pod {
    Pod {
        pod: pod_ref(name),
        node: "w1".parse().unwrap(),
        images,
    }
}

impl World {
    /// Nothing of Kubernetes is heard yet.
    pub(super) fn deaf() -> Self {
        let now = ServerNow {
            mono: Mono(Duration::from_secs(1_000)),
            at: at(0.0),
        };
        let mut world = Self {
            correlator: Correlator::new(Limits::default()),
            now,
            rows: BTreeMap::new(),
            pods: BTreeMap::new(),
            ended: Vec::new(),
            began: Vec::new(),
        };
        world.agent("w1", NodeState::Live, 0);
        world
    }

    /// Pods and events are heard.
    pub(super) fn new() -> Self {
        let mut world = Self::deaf();
        world.listen_to_pods();
        world.listen_to_events();
        world
    }

    pub(super) fn listen_to_pods(&mut self) {
        self.say_pod(PodUpdate::Reset);
        self.say_pod(PodUpdate::Done);
    }

    pub(super) fn listen_to_events(&mut self) {
        self.say_event(PullEventUpdate::Reset);
        self.say_event(PullEventUpdate::Done);
    }

    pub(super) fn agent(&mut self, node: &str, state: NodeState, offset_ms: i64) {
        let mut changes = Changes::default();
        changes.nodes.push(NodeView {
            name: node.parse().unwrap(),
            state,
            last_report_at: self.now.at,
            agent_version: None,
            runtime_version: None,
            clock_offset_ms: Some(offset_ms),
            live: crate::fleet::LiveSums::default(),
            ended: 0,
        });
        self.say(changes);
    }

    /// An agent tells how a pull is now.
    pub(super) fn tell(&mut self, pull: &Pull) {
        let known = self.rows.contains_key(&pull.id);
        let kind = match (known, pull.outcome()) {
            (_, Some(_)) => ChangeKind::Ended,
            (false, None) => ChangeKind::Started,
            (true, None) => ChangeKind::Progressed,
        };
        let mut changes = Changes::default();
        changes
            .pulls
            .push(PullChange::new(kind, Arc::new(pull.clone())));
        changes.ended.extend(crate::fleet::ended(pull));
        self.say(changes);
    }

    pub(super) fn hear(&mut self, event: PullEvent) {
        self.say_event(PullEventUpdate::Applied(event));
    }

    pub(super) fn apply(&mut self, pod: Pod) {
        self.say_pod(PodUpdate::Applied(pod));
    }

    pub(super) fn say_pod(&mut self, update: PodUpdate) {
        let changes = self.correlator.pod(update, self.now);
        self.show(changes);
    }

    pub(super) fn say_event(&mut self, update: PullEventUpdate) {
        let changes = self.correlator.event(update, self.now);
        self.show(changes);
    }

    fn say(&mut self, changes: Changes) {
        let changes = self.correlator.pulls(changes, self.now);
        self.show(changes);
    }

    /// Seconds pass.
    pub(super) fn pass(&mut self, seconds: u32) {
        for _ in 0..seconds {
            self.now = self.now.plus(Duration::from_secs(1));
            let changes = self.correlator.expire(self.now);
            self.show(changes);
        }
    }

    fn show(&mut self, changes: Changes) {
        for change in changes.pulls {
            let links = change.links.unwrap_or_default();
            let id = change.pull.id.clone();
            if self.rows.insert(id.clone(), (change.pull, links)).is_none() {
                self.began.push(id);
            }
        }
        for id in changes.forgotten {
            self.rows.remove(&id);
        }
        for view in changes.pods {
            self.pods.insert(view.pod.uid.to_string(), view);
        }
        for view in changes.forgotten_pods {
            self.pods.remove(view.pod.uid.as_str());
        }
        self.ended.extend(changes.ended);
        self.check();
    }

    /// What must be true at any moment.
    fn check(&self) {
        for (id, (pull, links)) in &self.rows {
            assert_eq!(*id, pull.id);
            let other = |links: &Links| {
                links
                    .pods
                    .iter()
                    .any(|(w, _)| w.pod.name.as_str().starts_with("elsewhere"))
            };
            assert!(
                id.node().as_str() != "w1" || !other(links),
                "a pod of another node: {links:?}"
            );
            if let Some(name) = pull
                .names
                .iter()
                .find(|name| matches!(name.version(), pulltrace_core::Version::Tag(_)))
            {
                for (waiter, _) in &links.pods {
                    if let Some(image) = waiter.image.named() {
                        assert_eq!(image.path(), name.path(), "another image: {links:?}");
                    }
                }
            }
        }
        // Nobody waits for a pull and is queued beside it.
        for (_, (pull, links)) in self.live() {
            for (waiter, _) in &links.pods {
                let twice = self.live().filter(|(_, (other, others))| {
                    let announced = matches!(other.id, PullId::Announced { .. });
                    announced && other.id != pull.id && others.pods.iter().any(|(w, _)| w == waiter)
                });
                assert_eq!(twice.count(), 0, "two rows: {waiter:?}");
            }
        }
    }

    pub(super) fn live(&self) -> impl Iterator<Item = (&PullId, &(Arc<Pull>, Arc<Links>))> {
        self.rows
            .iter()
            .filter(|(_, (pull, _))| pull.outcome().is_none())
    }

    pub(super) fn row(&self, pull: &Pull) -> (&Pull, &Links) {
        let (pull, links) = &self.rows[&pull.id];
        (pull, links)
    }

    /// `web/app by event`, of a pull's pods.
    pub(super) fn pods_of(&self, pull: &Pull) -> Vec<String> {
        let (_, links) = self.row(pull);
        let said = links.pods.iter();
        said.map(|(w, evidence)| format!("{}/{} by {evidence}", w.pod.name, w.slot))
            .collect()
    }

    pub(super) fn candidates_of(&self, pull: &Pull) -> Vec<String> {
        let (_, links) = self.row(pull);
        links
            .candidates
            .iter()
            .map(|w| w.pod.name.to_string())
            .collect()
    }

    /// The rows that were only announced.
    pub(super) fn announced(&self) -> Vec<(&Pull, &Links)> {
        let announced = self
            .rows
            .iter()
            .filter(|(id, _)| matches!(id, PullId::Announced { .. }));
        announced
            .map(|(_, (pull, links))| (&**pull, &**links))
            .collect()
    }

    /// What a pod is told.
    pub(super) fn summary(&self, pod: &str) -> String {
        let view = &self.pods[pod_ref(pod).uid.as_str()];
        let pull = |id: &PullId| {
            self.rows
                .get(id)
                .map(|(pull, _)| (Arc::clone(pull), Default::default()))
        };
        super::super::pod_status(view, pull).summary
    }
}
