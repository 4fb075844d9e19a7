//! A simulated node with a kubelet and pods, and the state that readers see.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use pulltrace_core::kubelet::KubeletMessage;
use pulltrace_core::{
    Bytes, ChangeKind, Digest, ImageConsumer, Links, Mono, NodeTime, Outcome, Percent, Phase,
    PodRef, Pull, PullId, Repository, RequestedImage,
};

use super::super::Correlator;
use crate::change::{Changes, EndedPull, NodeView, PodView, PullChange};
use crate::clock::ServerNow;
use crate::cluster::{
    ImageConsumerKind, ImagePresence, Pod, PodImage, PodUpdate, PullEvent, PullEventUpdate,
};
use crate::limits::Limits;
use pulltrace_core::wire::v1::NodeState;

pub(super) struct World {
    pub(super) correlator: Correlator,
    pub(super) now: ServerNow,
    pub(super) rows: BTreeMap<PullId, (Arc<Pull>, Arc<Links>)>,
    pub(super) pods: BTreeMap<String, PodView>,
    pub(super) ended: Vec<EndedPull>,
    /// The ids of rows in the order in which they appeared.
    pub(super) started: Vec<PullId>,
}

/// Returns a time in seconds on the node's clock.
pub(in crate::correlate) fn at(seconds: f64) -> NodeTime {
    let base = NodeTime::from_unix(1_795_536_000, 0);
    let by = Duration::from_secs_f64(seconds.abs());
    if seconds < 0.0 { base.saturating_sub(by) } else { base.saturating_add(by) }
}

pub(in crate::correlate) fn digest(letter: char) -> Digest {
    format!("sha256:{}", letter.to_string().repeat(64)).parse().unwrap()
}

pub(in crate::correlate) fn lease_on(node: &str, number: u32, started: f64) -> Pull {
    let id = PullId::Lease {
        node: node.parse().unwrap(),
        namespace: "k8s.io".parse().unwrap(),
        lease: format!("{number}-lease").parse().unwrap(),
        created: at(started),
    };
    Pull::new(id, Phase::Resolving, at(started))
}

pub(in crate::correlate) fn lease(number: u32, started: f64) -> Pull {
    lease_on("w1", number, started)
}

/// Makes the manifest known.
pub(in crate::correlate) fn resolved(mut pull: Pull, repository: &str, root: char) -> Pull {
    let (host, path) = repository.split_once('/').unwrap();
    pull.repository = Some(Repository::new(host, path).unwrap());
    pull.root = Some(digest(root));
    pull.phase = Phase::Downloading;
    pull.total = Some(Bytes(1_000));
    pull.resolved_at = Some(pull.started_at);
    pull
}

pub(in crate::correlate) fn completed(mut pull: Pull, ended: f64, names: &[&str]) -> Pull {
    pull.phase = Phase::Ended(Outcome::Completed);
    pull.motion.percent = Some(Percent::DONE);
    pull.ended_at = Some(at(ended));
    (pull.motion.rate, pull.motion.eta) = (None, None);
    pull.names = names.iter().map(|name| name.parse().unwrap()).collect();
    pull
}

pub(in crate::correlate) fn failed(mut pull: Pull, ended: f64) -> Pull {
    pull.phase = Phase::Ended(Outcome::Failed);
    pull.failure = Some(pulltrace_core::Failure {
        reason: pulltrace_core::FailureReason::Unexplained,
        message: None,
    });
    pull.ended_at = Some(at(ended));
    pull
}

pub(in crate::correlate) fn pod_ref(name: &str) -> PodRef {
    // `web#2` is another pod named `web`.
    let (short, _) = name.split_once('#').unwrap_or((name, ""));
    PodRef {
        namespace: "shop".parse().unwrap(),
        name: short.parse().unwrap(),
        uid: format!("uid-{}", name.replace('#', "-")).parse().unwrap(),
    }
}

/// Returns a kubelet event with its first time, last time and count.
pub(in crate::correlate) fn kubelet_event(
    pod: &str,
    slot: &str,
    reason: &str,
    message: &str,
    times: (f64, f64, u32),
) -> PullEvent {
    let parsed = KubeletMessage::parse(reason, message).expect("an event about an image");
    let (first, last, count) = times;
    PullEvent {
        name: format!("{pod}.{reason}.{message}").into(),
        pod: pod_ref(pod),
        node: "w1".parse().unwrap(),
        consumer: (!slot.is_empty()).then(|| slot.parse::<ImageConsumer>().unwrap()),
        message: parsed,
        first_seen: at(first.floor()),
        last_seen: at(last.floor()),
        count,
    }
}

pub(in crate::correlate) fn pulling_event(
    pod: &str,
    slot: &str,
    image: &str,
    when: f64,
) -> PullEvent {
    let message = format!("Pulling image \"{image}\"");
    kubelet_event(pod, slot, "Pulling", &message, (when, when, 1))
}

pub(in crate::correlate) fn pulled_event(
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
    kubelet_event(pod, slot, "Pulled", &message, (when, when, 1))
}

pub(in crate::correlate) fn failed_event(
    pod: &str,
    slot: &str,
    image: &str,
    text: &str,
    times: (f64, f64, u32),
) -> PullEvent {
    let message = format!("Failed to pull image \"{image}\": {text}");
    kubelet_event(pod, slot, "Failed", &message, times)
}

pub(in crate::correlate) fn waiting(slot: &str, image: &str) -> PodImage {
    PodImage {
        consumer: slot.parse().unwrap(),
        name: slot.into(),
        kind: ImageConsumerKind::Container,
        image: RequestedImage::from_text(image),
        presence: ImagePresence::Waiting {
            reason: Some("ContainerCreating".into()),
            message: None,
        },
    }
}

pub(in crate::correlate) fn running(slot: &str, image: &str, since: f64) -> PodImage {
    PodImage {
        presence: ImagePresence::Present { root_digest: None, started_at: Some(at(since)) },
        ..waiting(slot, image)
    }
}

pub(in crate::correlate) fn pod(name: &str, images: Vec<PodImage>) -> Pod {
    Pod { pod: pod_ref(name), node: "w1".parse().unwrap(), images }
}

impl World {
    /// Creates a world without sources of pods and events.
    pub(super) fn without_sources() -> Self {
        let now = ServerNow { mono: Mono(Duration::from_secs(1_000)), at: at(0.0) };
        let mut world = Self {
            correlator: Correlator::new(Limits::default()),
            now,
            rows: BTreeMap::new(),
            pods: BTreeMap::new(),
            ended: Vec::new(),
            started: Vec::new(),
        };
        world.set_node("w1", NodeState::Live, 0);
        world
    }

    /// Creates a world whose sources are live.
    pub(super) fn new() -> Self {
        let mut world = Self::without_sources();
        world.sync_pods();
        world.sync_events();
        world
    }

    pub(super) fn sync_pods(&mut self) {
        self.send_pod_update(PodUpdate::Init);
        self.send_pod_update(PodUpdate::InitDone);
    }

    pub(super) fn sync_events(&mut self) {
        self.send_event_update(PullEventUpdate::Init);
        self.send_event_update(PullEventUpdate::InitDone);
    }

    pub(super) fn set_node(&mut self, node: &str, state: NodeState, offset_ms: i64) {
        let mut changes = Changes::default();
        changes.nodes.push(NodeView {
            name: node.parse().unwrap(),
            state,
            last_report_at: self.now.at,
            agent_version: None,
            runtime_version: None,
            clock_offset_ms: Some(offset_ms),
            live: crate::change::LiveTotals::default(),
            ended: 0,
        });
        self.apply_changes(changes);
    }

    /// Reports the current state of a pull.
    pub(super) fn report_pull(&mut self, pull: &Pull) {
        let known = self.rows.contains_key(&pull.id);
        let kind = match (known, pull.outcome()) {
            (_, Some(_)) => ChangeKind::Ended,
            (false, None) => ChangeKind::Started,
            (true, None) => ChangeKind::Progressed,
        };
        let mut changes = Changes::default();
        changes.pulls.push(PullChange::new(kind, Arc::new(pull.clone())));
        changes.ended.extend(crate::fleet::ended_pull(pull));
        self.apply_changes(changes);
    }

    pub(super) fn emit_event(&mut self, event: PullEvent) {
        self.send_event_update(PullEventUpdate::Apply(event));
    }

    pub(super) fn update_pod(&mut self, pod: Pod) {
        self.send_pod_update(PodUpdate::Apply(pod));
    }

    pub(super) fn send_pod_update(&mut self, update: PodUpdate) {
        let changes = self.correlator.apply_pod(update, self.now);
        self.absorb(changes);
    }

    pub(super) fn send_event_update(&mut self, update: PullEventUpdate) {
        let changes = self.correlator.apply_event(update, self.now);
        self.absorb(changes);
    }

    fn apply_changes(&mut self, changes: Changes) {
        let changes = self.correlator.apply_pulls(changes, self.now);
        self.absorb(changes);
    }

    /// Advances time in steps of a second.
    pub(super) fn advance(&mut self, seconds: u32) {
        for _ in 0..seconds {
            self.now = self.now.plus(Duration::from_secs(1));
            let changes = self.correlator.expire(self.now);
            self.absorb(changes);
        }
    }

    fn absorb(&mut self, changes: Changes) {
        for change in changes.pulls {
            let links = change.links.unwrap_or_default();
            let id = change.pull.id.clone();
            if self.rows.insert(id.clone(), (change.pull, links)).is_none() {
                self.started.push(id);
            }
        }
        for id in changes.removed_pulls {
            self.rows.remove(&id);
        }
        for view in changes.pods {
            self.pods.insert(view.pod.uid.to_string(), view);
        }
        for view in changes.removed_pods {
            self.pods.remove(view.pod.uid.as_str());
        }
        self.ended.extend(changes.ended);
        self.check_invariants();
    }

    fn check_invariants(&self) {
        for (id, (pull, links)) in &self.rows {
            assert_eq!(*id, pull.id);
            let other = |links: &Links| {
                links.pods.iter().any(|(w, _)| w.pod.name.as_str().starts_with("elsewhere"))
            };
            assert!(
                id.node().as_str() != "w1" || !other(links),
                "linked to a pod of another node: {links:?}"
            );
            if let Some(name) = pull
                .names
                .iter()
                .find(|name| matches!(name.tag_or_digest(), pulltrace_core::TagOrDigest::Tag(_)))
            {
                for (waiter, _) in &links.pods {
                    if let Some(image) = waiter.image.image_ref() {
                        assert_eq!(image.path(), name.path(), "linked to another image: {links:?}");
                    }
                }
            }
        }
        // No waiter of a live row also has an announced row.
        for (_, (pull, links)) in self.live_rows() {
            for (waiter, _) in &links.pods {
                let twice = self.live_rows().filter(|(_, (other, others))| {
                    let announced = matches!(other.id, PullId::Announced { .. });
                    announced && other.id != pull.id && others.pods.iter().any(|(w, _)| w == waiter)
                });
                assert_eq!(twice.count(), 0, "more than one live row: {waiter:?}");
            }
        }
    }

    pub(super) fn live_rows(&self) -> impl Iterator<Item = (&PullId, &(Arc<Pull>, Arc<Links>))> {
        self.rows.iter().filter(|(_, (pull, _))| pull.outcome().is_none())
    }

    pub(super) fn row(&self, pull: &Pull) -> (&Pull, &Links) {
        let (pull, links) = &self.rows[&pull.id];
        (pull, links)
    }

    /// Returns the pods of a pull, such as `web/app by event`.
    pub(super) fn linked_pods(&self, pull: &Pull) -> Vec<String> {
        let (_, links) = self.row(pull);
        let pods = links.pods.iter();
        pods.map(|(w, evidence)| format!("{}/{} by {evidence}", w.pod.name, w.consumer)).collect()
    }

    pub(super) fn candidate_pods(&self, pull: &Pull) -> Vec<String> {
        let (_, links) = self.row(pull);
        links.candidates.iter().map(|w| w.pod.name.to_string()).collect()
    }

    pub(super) fn announced_rows(&self) -> Vec<(&Pull, &Links)> {
        let announced = self.rows.iter().filter(|(id, _)| matches!(id, PullId::Announced { .. }));
        announced.map(|(_, (pull, links))| (&**pull, &**links)).collect()
    }

    pub(super) fn pod_summary(&self, pod: &str) -> String {
        let view = &self.pods[pod_ref(pod).uid.as_str()];
        let pull =
            |id: &PullId| self.rows.get(id).map(|(pull, _)| (Arc::clone(pull), Default::default()));
        super::super::pod_status(view, pull).summary
    }
}
