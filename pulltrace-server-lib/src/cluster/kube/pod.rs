//! A pod as the API server has it → what is kept of it.

use std::sync::Arc;

use pulltrace_core::{Digest, KubeName, NameError, NodeName, NodeTime, PodRef, Slot, WantedImage};
use serde::Deserialize;

use super::feed::{How, Kind, Said};
use super::intern::Intern;
use super::trouble;
use crate::cluster::{Pod, PodImage, PodUpdate, Seen, SlotKind, Trouble, volume_slot};

/// Those with a node that have not finished.
const SELECTOR: &str = "spec.nodeName!=,status.phase!=Succeeded,status.phase!=Failed";

/// What a waiting container says whose image is what it waits for. Whatever else it says, its image came
/// before, or may have.
const OF_IMAGE: [&str; 7] = [
    "ErrImagePull",
    "ImagePullBackOff",
    "ErrImageNeverPull",
    "InvalidImageName",
    "ImageInspectError",
    "RegistryUnavailable",
    "SignatureValidationFailed",
];

/// What a waiting container says that has its image: the kubelet pulls before it makes a container.
const AFTER_IMAGE: [&str; 8] = [
    "CrashLoopBackOff",
    "CreateContainerConfigError",
    "CreateContainerError",
    "PreCreateHookError",
    "PreStartHookError",
    "PostStartHookError",
    "RunContainerError",
    "StartError",
];

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    metadata: Metadata,
    spec: Spec,
    status: Option<Status>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    name: String,
    namespace: String,
    uid: String,
    resource_version: Option<String>,
    annotations: Option<Annotations>,
}

#[derive(Deserialize)]
struct Annotations {
    /// It has one if it is the mirror of a static pod.
    #[serde(rename = "kubernetes.io/config.mirror")]
    mirror: Option<String>,
    #[serde(rename = "kubernetes.io/config.hash")]
    hash: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    node_name: Option<String>,
    volumes: Option<Vec<Volume>>,
    init_containers: Option<Vec<Container>>,
    containers: Option<Vec<Container>>,
    ephemeral_containers: Option<Vec<Container>>,
}

#[derive(Deserialize)]
struct Volume {
    name: String,
    image: Option<VolumeImage>,
}

#[derive(Deserialize)]
struct VolumeImage {
    reference: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Container {
    name: String,
    image: Option<String>,
    restart_policy: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    init_container_statuses: Option<Vec<ContainerStatus>>,
    container_statuses: Option<Vec<ContainerStatus>>,
    ephemeral_container_statuses: Option<Vec<ContainerStatus>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ContainerStatus {
    name: String,
    #[serde(rename = "imageID")]
    image_id: Option<String>,
    state: Option<State>,
    last_state: Option<State>,
}

#[derive(Deserialize)]
struct State {
    waiting: Option<Waiting>,
    running: Option<Ran>,
    terminated: Option<Ran>,
}

#[derive(Deserialize)]
struct Waiting {
    reason: Option<String>,
    message: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Ran {
    started_at: Option<String>,
}

/// Reads pods. What many of them have in common is kept once.
#[derive(Debug, Default)]
pub(super) struct Pods {
    nodes: Intern<NodeName>,
    namespaces: Intern<KubeName>,
    slots: Intern<Slot>,
    words: Intern<Arc<str>>,
}

impl Kind for Pods {
    type Update = PodUpdate;

    const PLURAL: &'static str = "pods";
    const FORGETS: bool = true;

    fn selectors() -> Vec<String> {
        vec![SELECTOR.to_owned()]
    }

    fn reset() -> PodUpdate {
        PodUpdate::Reset
    }

    fn done() -> PodUpdate {
        PodUpdate::Done
    }

    fn trouble(trouble: Trouble) -> PodUpdate {
        PodUpdate::Trouble(trouble)
    }

    fn read(&mut self, object: &str, how: How) -> Said<PodUpdate> {
        let Ok(raw) = serde_json::from_str::<Raw>(object) else {
            return Said {
                update: Some(PodUpdate::Odd),
                version: None,
            };
        };
        let update = match self.pod(&raw) {
            Ok(pod) => match how {
                How::Listed => PodUpdate::Init(pod),
                How::Changed => PodUpdate::Applied(pod),
                How::Deleted => PodUpdate::Deleted(pod.pod.uid),
            },
            Err(_) => PodUpdate::Odd,
        };
        Said {
            update: Some(update),
            version: raw.metadata.resource_version,
        }
    }
}

impl Pods {
    fn pod(&mut self, raw: &Raw) -> Result<Pod, NameError> {
        let metadata = &raw.metadata;
        let hash = metadata.annotations.as_ref().and_then(|annotations| {
            annotations.mirror.as_ref()?;
            annotations.hash.as_ref()
        });
        let uid = hash.unwrap_or(&metadata.uid).parse()?;
        Ok(Pod {
            pod: PodRef {
                namespace: self.namespaces.get(&metadata.namespace)?,
                name: metadata.name.parse()?,
                uid,
            },
            node: self
                .nodes
                .get(raw.spec.node_name.as_deref().unwrap_or_default())?,
            images: self.images(raw)?,
        })
    }

    fn images(&mut self, raw: &Raw) -> Result<Vec<PodImage>, NameError> {
        let (spec, nothing) = (&raw.spec, Status::default());
        let status = raw.status.as_ref().unwrap_or(&nothing);
        let groups = [
            (
                SlotKind::Init,
                &spec.init_containers,
                &status.init_container_statuses,
            ),
            (
                SlotKind::Container,
                &spec.containers,
                &status.container_statuses,
            ),
            (
                SlotKind::Ephemeral,
                &spec.ephemeral_containers,
                &status.ephemeral_container_statuses,
            ),
        ];
        let mut images: Vec<PodImage> = Vec::new();
        // The kubelet has the images of all volumes before it makes the first container.
        let begun = groups
            .iter()
            .flat_map(|(_, _, statuses)| statuses.iter().flatten())
            .any(has_run);
        for volume in spec.volumes.iter().flatten() {
            let Some(reference) = volume
                .image
                .as_ref()
                .and_then(|image| image.reference.as_ref())
            else {
                continue;
            };
            let image = WantedImage::of(reference);
            let slot = volume_slot(&image);
            // The kubelet pulls it once, and names no volume.
            if images.iter().any(|earlier| earlier.slot == slot) {
                continue;
            }
            images.push(PodImage {
                slot,
                name: self.words.get(&volume.name)?,
                kind: SlotKind::Volume,
                image,
                state: if begun {
                    Seen::Present {
                        root: None,
                        since: None,
                    }
                } else {
                    unheard()
                },
            });
        }
        for (kind, containers, statuses) in groups {
            for container in containers.iter().flatten() {
                let status = statuses
                    .iter()
                    .flatten()
                    .find(|status| status.name == container.name);
                images.push(PodImage {
                    slot: self.slots.get(&container.name)?,
                    name: self.words.get(&container.name)?,
                    kind: match kind {
                        SlotKind::Init if container.restart_policy.as_deref() == Some("Always") => {
                            SlotKind::Sidecar
                        }
                        other => other,
                    },
                    image: WantedImage::of(container.image.as_deref().unwrap_or_default()),
                    state: match status {
                        Some(status) => self.seen(status)?,
                        None => unheard(),
                    },
                });
            }
        }
        Ok(images)
    }

    fn seen(&mut self, status: &ContainerStatus) -> Result<Seen, NameError> {
        let state = status.state.as_ref();
        let waiting = state.and_then(|state| state.waiting.as_ref());
        let reason = waiting.and_then(|waiting| waiting.reason.as_deref());
        let waits = |word: &str| OF_IMAGE.contains(&word);
        let present = match reason {
            Some(word) if waits(word) => false,
            Some(word) if AFTER_IMAGE.contains(&word) => true,
            _ => has_run(status),
        };
        if present {
            let ran = ran(state).or_else(|| ran(status.last_state.as_ref()));
            return Ok(Seen::Present {
                root: status.image_id.as_deref().and_then(root),
                since: ran.and_then(started),
            });
        }
        Ok(Seen::Waiting {
            reason: reason.map(|word| self.words.get(word)).transpose()?,
            message: waiting
                .and_then(|waiting| waiting.message.as_deref())
                .map(|text| trouble::cut(text).into()),
        })
    }
}

fn unheard() -> Seen {
    Seen::Waiting {
        reason: None,
        message: None,
    }
}

/// Whether it runs or has run, so that its image was there.
fn has_run(status: &ContainerStatus) -> bool {
    let image = || status.image_id.as_ref().is_some_and(|id| !id.is_empty());
    ran(status.state.as_ref()).is_some() || ran(status.last_state.as_ref()).is_some() || image()
}

fn ran(state: Option<&State>) -> Option<&Ran> {
    let state = state?;
    state.running.as_ref().or(state.terminated.as_ref())
}

/// A container that never started has the beginning of time here.
fn started(ran: &Ran) -> Option<NodeTime> {
    let at: NodeTime = ran.started_at.as_deref()?.parse().ok()?;
    (at.unix_nanos() > 0).then_some(at)
}

/// `registry.test/app@sha256:…`. A digest that stands alone is that of the config.
fn root(image_id: &str) -> Option<Digest> {
    image_id.rsplit_once('@')?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(pod: &Value) -> PodUpdate {
        let said = Pods::default().read(&pod.to_string(), How::Changed);
        said.update.unwrap()
    }

    fn pod(spec: &Value, status: &Value) -> Value {
        let mut pod = json!({
            "metadata": {"name": "web-1", "namespace": "shop", "uid": "u-1", "resourceVersion": "7"},
            "spec": spec,
            "status": status,
        });
        pod["spec"]["nodeName"] = "node-1".into();
        pod
    }

    #[track_caller]
    fn applied(update: PodUpdate) -> Pod {
        match update {
            PodUpdate::Applied(pod) => pod,
            other => panic!("{other:?}"),
        }
    }

    fn state_of(status: Value) -> Seen {
        let mut status = status;
        status["name"] = "app".into();
        let spec = json!({"containers": [{"name": "app", "image": "a"}]});
        let pod = applied(read(&pod(&spec, &json!({"containerStatuses": [status]}))));
        pod.images[0].state.clone()
    }

    fn waiting(reason: &str) -> Seen {
        Seen::Waiting {
            reason: Some(reason.into()),
            message: None,
        }
    }

    #[test]
    fn images_come_in_the_order_in_which_the_kubelet_takes_them() {
        let spec = json!({
            "volumes": [
                {"name": "tmp", "emptyDir": {}},
                {"name": "model", "image": {"reference": "r.io/model:1", "pullPolicy": "Always"}},
                {"name": "again", "image": {"reference": "r.io/model:1"}},
            ],
            "initContainers": [
                {"name": "setup", "image": "setup"},
                {"name": "proxy", "image": "proxy", "restartPolicy": "Always"},
            ],
            "containers": [{"name": "app", "image": "r.io/app:1"}, {"name": "odd", "image": "NO NAME"}],
            "ephemeralContainers": [{"name": "debug", "image": "debug"}],
        });
        let pod = applied(read(&pod(&spec, &Value::Null)));
        let seen: Vec<_> = pod
            .images
            .iter()
            .map(|image| (&*image.name, image.kind, image.image.to_string()))
            .collect();
        assert_eq!(
            seen,
            [
                ("model", SlotKind::Volume, "r.io/model:1".to_owned()),
                (
                    "setup",
                    SlotKind::Init,
                    "docker.io/library/setup:latest".to_owned()
                ),
                (
                    "proxy",
                    SlotKind::Sidecar,
                    "docker.io/library/proxy:latest".to_owned()
                ),
                ("app", SlotKind::Container, "r.io/app:1".to_owned()),
                ("odd", SlotKind::Container, "NO NAME".to_owned()),
                (
                    "debug",
                    SlotKind::Ephemeral,
                    "docker.io/library/debug:latest".to_owned()
                ),
            ]
        );
        assert!(pod.images.iter().all(|image| image.state == unheard()));
        let volume = &pod.images[0];
        assert_eq!(volume.slot, volume_slot(&volume.image));
    }

    #[test]
    fn a_container_that_waits_for_its_image_says_so_in_the_kubelets_words() {
        let message = "Back-off pulling image";
        assert_eq!(
            state_of(
                json!({"state": {"waiting": {"reason": "ImagePullBackOff", "message": message}}})
            ),
            Seen::Waiting {
                reason: Some("ImagePullBackOff".into()),
                message: Some(message.into()),
            }
        );
        for word in ["ContainerCreating", "PodInitializing", "SomethingNew"] {
            let status = json!({"imageID": "", "state": {"waiting": {"reason": word}}});
            assert_eq!(state_of(status), waiting(word));
        }
        assert_eq!(state_of(json!({})), unheard());
        assert_eq!(state_of(json!({"state": {}})), unheard());
    }

    #[test]
    fn a_container_that_ran_once_has_its_image_unless_it_waits_for_it_again() {
        let digest = format!("sha256:{}", "a".repeat(64));
        let id = format!("r.io/app@{digest}");
        let started = "2026-11-24T17:00:50Z";
        let present = Seen::Present {
            root: Some(digest.parse().unwrap()),
            since: Some(started.parse().unwrap()),
        };
        let ran = json!({"terminated": {"exitCode": 1, "startedAt": started}});
        let running = json!({"running": {"startedAt": started}});
        for state in [&running, &ran] {
            assert_eq!(state_of(json!({"imageID": id, "state": state})), present);
        }
        for word in ["CrashLoopBackOff", "ContainerCreating", "SomethingNew"] {
            let state = json!({"waiting": {"reason": word}});
            let status = json!({"imageID": id, "state": state, "lastState": ran});
            assert_eq!(state_of(status), present, "{word}");
        }
        for word in OF_IMAGE {
            let state = json!({"waiting": {"reason": word}});
            let status = json!({"imageID": id, "state": state, "lastState": ran});
            assert_eq!(state_of(status), waiting(word));
        }
    }

    #[test]
    fn what_comes_after_the_image_is_no_wait_for_it() {
        for word in AFTER_IMAGE {
            let status = json!({"imageID": "", "state": {"waiting": {"reason": word}}});
            let present = Seen::Present {
                root: None,
                since: None,
            };
            assert_eq!(state_of(status), present, "{word}");
        }
    }

    #[test]
    fn a_digest_of_a_config_is_none_of_an_image_and_the_beginning_of_time_no_start() {
        let digest = format!("sha256:{}", "a".repeat(64));
        let state = json!({"terminated": {"startedAt": "1970-01-01T00:00:00Z"}});
        assert_eq!(
            state_of(json!({"imageID": digest, "state": state})),
            Seen::Present {
                root: None,
                since: None,
            }
        );
    }

    #[test]
    fn the_volumes_of_a_pod_are_there_when_its_first_container_has_run() {
        let spec = json!({
            "volumes": [{"name": "model", "image": {"reference": "model"}}],
            "containers": [{"name": "app", "image": "app"}],
        });
        let state = |status: Value| {
            let status = json!({"containerStatuses": [status]});
            applied(read(&pod(&spec, &status))).images[0].state.clone()
        };
        let waits = json!({"name": "app", "state": {"waiting": {"reason": "ContainerCreating"}}});
        assert_eq!(state(waits), unheard());
        let runs = json!({"name": "app", "state": {"running": {}}});
        assert!(matches!(state(runs), Seen::Present { .. }));
    }

    #[test]
    fn a_static_pod_has_the_uid_that_its_kubelet_knows() {
        let spec = json!({"containers": []});
        let mut mirror = pod(&spec, &Value::Null);
        let hash = "kubernetes.io/config.hash";
        mirror["metadata"]["annotations"] =
            json!({hash: "h-1", "kubernetes.io/config.mirror": "h-1"});
        assert_eq!(applied(read(&mirror)).pod.uid.as_str(), "h-1");
        // Anybody may write an annotation.
        mirror["metadata"]["annotations"] = json!({hash: "h-1"});
        assert_eq!(applied(read(&mirror)).pod.uid.as_str(), "u-1");
    }

    #[test]
    fn a_deleted_pod_is_gone_by_its_uid() {
        let pod = pod(&json!({"containers": []}), &Value::Null).to_string();
        let said = Pods::default().read(&pod, How::Deleted);
        assert_eq!(
            said.update,
            Some(PodUpdate::Deleted("u-1".parse().unwrap()))
        );
        assert_eq!(said.version.as_deref(), Some("7"));
    }

    #[test]
    fn pods_that_are_not_understood_are_counted_and_nothing_else() {
        let good = || {
            let spec = json!({"containers": [{"name": "app", "image": "a"}]});
            pod(&spec, &json!({"containerStatuses": [{"name": "app"}]}))
        };
        applied(read(&good()));
        for (path, value) in [
            ("/metadata/name", json!("no name")),
            ("/metadata/namespace", json!("")),
            ("/metadata/uid", json!("u/1")),
            ("/metadata/uid", Value::Null),
            ("/spec/nodeName", json!("n".repeat(254))),
            ("/spec/nodeName", Value::Null),
            ("/spec/containers/0/name", json!("a.b")),
            ("/spec/containers", json!("none")),
            ("/status/containerStatuses", json!({})),
        ] {
            let mut odd = good();
            *odd.pointer_mut(path).unwrap() = value;
            assert_eq!(read(&odd), PodUpdate::Odd, "{path}");
        }
        assert_eq!(read(&json!("a pod")), PodUpdate::Odd);
        let mut without = good();
        without.as_object_mut().unwrap().remove("status");
        applied(read(&without));
    }

    #[test]
    fn all_states_of_pods_that_real_kubelets_told_are_understood() {
        let dir = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../pulltrace-testkit/fixtures/kubelet"
        );
        let mut pods = Pods::default();
        let (mut waiting, mut present, mut rooted) = (0, 0, 0);
        for folder in std::fs::read_dir(dir).unwrap() {
            let folder = folder.unwrap().path();
            if !folder.is_dir() {
                continue;
            }
            for file in std::fs::read_dir(folder).unwrap() {
                let path = file.unwrap().path();
                let recording: Value =
                    serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
                for status in recording["statuses"].as_array().unwrap() {
                    let specs = recording["pods"].as_array().unwrap().iter();
                    let mut of = specs.filter(|pod| pod["metadata"]["name"] == status["pod"]);
                    let mut pod = of.next().unwrap().clone();
                    pod["metadata"]["namespace"] = recording["scenario"].clone();
                    pod["metadata"]["uid"] = status["uid"].clone();
                    pod["status"] = status.clone();
                    let said = pods.read(&pod.to_string(), How::Changed);
                    let pod = applied(said.update.unwrap());
                    for image in &pod.images {
                        match &image.state {
                            Seen::Waiting { .. } => waiting += 1,
                            Seen::Present { root, since } => {
                                present += 1;
                                let container = image.kind != SlotKind::Volume;
                                assert_eq!(since.is_some(), container, "{}", path.display());
                                rooted += u32::from(root.is_some());
                            }
                        }
                    }
                }
            }
        }
        assert_eq!((waiting, present, rooted), (208, 53, 49));
    }
}
