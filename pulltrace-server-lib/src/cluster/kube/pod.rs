//! Parses pods of the API server into [`Pod`]s.

use std::sync::Arc;

use pulltrace_core::{
    Digest, ImageConsumer, KubeName, NameError, NodeName, NodeTime, PodRef, RequestedImage,
};
use serde::Deserialize;

use super::failure;
use super::intern::Intern;
use super::merge::{ObjectChange, WatchedResource};
use super::object::ObjectFields;
use crate::cluster::{
    ImageConsumerKind, ImagePresence, Pod, PodImage, PodUpdate, SourceFailure, volume_consumer,
};

/// Pods that are assigned to a node and have not finished.
const SELECTOR: &str = "spec.nodeName!=,status.phase!=Succeeded,status.phase!=Failed";

/// Waiting reasons of a container that waits for its image. With any other reason the image is, or
/// may be, present.
const IMAGE_WAIT_REASONS: [&str; 7] = [
    "ErrImagePull",
    "ImagePullBackOff",
    "ErrImageNeverPull",
    "InvalidImageName",
    "ImageInspectError",
    "RegistryUnavailable",
    "SignatureValidationFailed",
];

/// Waiting reasons of a container whose image is present: the kubelet pulls before it creates a
/// container.
const POST_IMAGE_REASONS: [&str; 8] = [
    "CrashLoopBackOff",
    "CreateContainerConfigError",
    "CreateContainerError",
    "PreCreateHookError",
    "PreStartHookError",
    "PostStartHookError",
    "RunContainerError",
    "StartError",
];

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RawPod {
    metadata: Metadata,
    spec: Spec,
    status: Option<Status>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    name: String,
    namespace: String,
    uid: String,
    annotations: Option<Annotations>,
}

#[derive(Clone, Debug, Deserialize)]
struct Annotations {
    /// Present on the mirror pod of a static pod.
    #[serde(rename = "kubernetes.io/config.mirror")]
    mirror: Option<String>,
    #[serde(rename = "kubernetes.io/config.hash")]
    hash: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    node_name: Option<String>,
    volumes: Option<Vec<Volume>>,
    init_containers: Option<Vec<Container>>,
    containers: Option<Vec<Container>>,
    ephemeral_containers: Option<Vec<Container>>,
}

#[derive(Clone, Debug, Deserialize)]
struct Volume {
    name: String,
    image: Option<VolumeImage>,
}

#[derive(Clone, Debug, Deserialize)]
struct VolumeImage {
    reference: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Container {
    name: String,
    image: Option<String>,
    restart_policy: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    init_container_statuses: Option<Vec<ContainerStatus>>,
    container_statuses: Option<Vec<ContainerStatus>>,
    ephemeral_container_statuses: Option<Vec<ContainerStatus>>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ContainerStatus {
    name: String,
    #[serde(rename = "imageID")]
    image_id: Option<String>,
    state: Option<ContainerState>,
    last_state: Option<ContainerState>,
}

#[derive(Clone, Debug, Deserialize)]
struct ContainerState {
    waiting: Option<Waiting>,
    running: Option<ContainerRun>,
    terminated: Option<ContainerRun>,
}

#[derive(Clone, Debug, Deserialize)]
struct Waiting {
    reason: Option<String>,
    message: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ContainerRun {
    started_at: Option<String>,
}

/// Parses pods. Common strings are interned.
#[derive(Debug, Default)]
pub(super) struct PodParser {
    nodes: Intern<NodeName>,
    namespaces: Intern<KubeName>,
    slots: Intern<ImageConsumer>,
    strings: Intern<Arc<str>>,
}

impl ObjectFields for RawPod {
    const KIND: &'static str = "Pod";
    const PLURAL: &'static str = "pods";
}

impl WatchedResource for PodParser {
    type Fields = RawPod;
    type Update = PodUpdate;

    const HAS_DELETIONS: bool = true;

    fn selectors() -> Vec<String> {
        vec![SELECTOR.to_owned()]
    }

    fn init_update() -> PodUpdate {
        PodUpdate::Init
    }

    fn init_done_update() -> PodUpdate {
        PodUpdate::InitDone
    }

    fn failing_update(failure: SourceFailure) -> PodUpdate {
        PodUpdate::Failing(failure)
    }

    fn malformed_update() -> PodUpdate {
        PodUpdate::Malformed
    }

    fn parse(&mut self, fields: &RawPod, how: ObjectChange) -> Option<PodUpdate> {
        Some(match (self.parse_pod(fields), how) {
            (Ok(pod), ObjectChange::Listed) => PodUpdate::InitApply(pod),
            (Ok(pod), ObjectChange::Changed) => PodUpdate::Apply(pod),
            (Ok(pod), ObjectChange::Deleted) => PodUpdate::Delete(pod.pod.uid),
            (Err(_), _) => PodUpdate::Malformed,
        })
    }
}

impl PodParser {
    fn parse_pod(&mut self, raw: &RawPod) -> Result<Pod, NameError> {
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
            node: self.nodes.get(raw.spec.node_name.as_deref().unwrap_or_default())?,
            images: self.parse_images(raw)?,
        })
    }

    fn parse_images(&mut self, raw: &RawPod) -> Result<Vec<PodImage>, NameError> {
        let (spec, nothing) = (&raw.spec, Status::default());
        let status = raw.status.as_ref().unwrap_or(&nothing);
        let groups = [
            (ImageConsumerKind::Init, &spec.init_containers, &status.init_container_statuses),
            (ImageConsumerKind::Container, &spec.containers, &status.container_statuses),
            (
                ImageConsumerKind::Ephemeral,
                &spec.ephemeral_containers,
                &status.ephemeral_container_statuses,
            ),
        ];
        let mut images: Vec<PodImage> = Vec::new();
        // The kubelet pulls the images of all volumes before it creates the first container.
        let started =
            groups.iter().flat_map(|(_, _, statuses)| statuses.iter().flatten()).any(has_image);
        for volume in spec.volumes.iter().flatten() {
            let Some(reference) = volume.image.as_ref().and_then(|image| image.reference.as_ref())
            else {
                continue;
            };
            let image = RequestedImage::from_text(reference);
            let slot = volume_consumer(&image);
            // The kubelet pulls the image once, and its events do not name the volume.
            if images.iter().any(|earlier| earlier.consumer == slot) {
                continue;
            }
            images.push(PodImage {
                consumer: slot,
                name: self.strings.get(&volume.name)?,
                kind: ImageConsumerKind::Volume,
                image,
                presence: if started {
                    ImagePresence::Present { root_digest: None, started_at: None }
                } else {
                    no_status()
                },
            });
        }
        for (kind, containers, statuses) in groups {
            for container in containers.iter().flatten() {
                let status = statuses.iter().flatten().find(|status| status.name == container.name);
                images.push(PodImage {
                    consumer: self.slots.get(&container.name)?,
                    name: self.strings.get(&container.name)?,
                    kind: match kind {
                        ImageConsumerKind::Init
                            if container.restart_policy.as_deref() == Some("Always") =>
                        {
                            ImageConsumerKind::Sidecar
                        }
                        other => other,
                    },
                    image: RequestedImage::from_text(
                        container.image.as_deref().unwrap_or_default(),
                    ),
                    presence: match status {
                        Some(status) => self.image_presence(status)?,
                        None => no_status(),
                    },
                });
            }
        }
        Ok(images)
    }

    fn image_presence(&mut self, status: &ContainerStatus) -> Result<ImagePresence, NameError> {
        let state = status.state.as_ref();
        let waiting = state.and_then(|state| state.waiting.as_ref());
        let reason = waiting.and_then(|waiting| waiting.reason.as_deref());
        let waits = |word: &str| IMAGE_WAIT_REASONS.contains(&word);
        let present = match reason {
            Some(word) if waits(word) => false,
            Some(word) if POST_IMAGE_REASONS.contains(&word) => true,
            _ => has_image(status),
        };
        if present {
            let ran = container_run(state).or_else(|| container_run(status.last_state.as_ref()));
            return Ok(ImagePresence::Present {
                root_digest: status.image_id.as_deref().and_then(root_digest),
                started_at: ran.and_then(start_time),
            });
        }
        Ok(ImagePresence::Waiting {
            reason: reason.map(|word| self.strings.get(word)).transpose()?,
            message: waiting
                .and_then(|waiting| waiting.message.as_deref())
                .map(|text| failure::truncate(text).into()),
        })
    }
}

fn no_status() -> ImagePresence {
    ImagePresence::Waiting { reason: None, message: None }
}

/// Returns whether the container is running or has run, so that its image is present.
fn has_image(status: &ContainerStatus) -> bool {
    let image = || status.image_id.as_ref().is_some_and(|id| !id.is_empty());
    container_run(status.state.as_ref()).is_some()
        || container_run(status.last_state.as_ref()).is_some()
        || image()
}

fn container_run(state: Option<&ContainerState>) -> Option<&ContainerRun> {
    let state = state?;
    state.running.as_ref().or(state.terminated.as_ref())
}

/// The start time, unless it is the epoch, which means that the container never started.
fn start_time(ran: &ContainerRun) -> Option<NodeTime> {
    let at: NodeTime = ran.started_at.as_deref()?.parse().ok()?;
    (at.unix_nanos() > 0).then_some(at)
}

/// Parses `registry.test/app@sha256:…`. A digest without a repository is that of the image config.
fn root_digest(image_id: &str) -> Option<Digest> {
    image_id.rsplit_once('@')?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::object::Object;
    use super::*;

    fn parse_with(parser: &mut PodParser, pod: Value, how: ObjectChange) -> PodUpdate {
        match serde_json::from_value::<Object<RawPod>>(pod).unwrap().fields {
            Some(fields) => parser.parse(&fields, how).unwrap(),
            None => PodUpdate::Malformed,
        }
    }

    fn parse(pod: &Value) -> PodUpdate {
        parse_with(&mut PodParser::default(), pod.clone(), ObjectChange::Changed)
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
    fn expect_apply(update: PodUpdate) -> Pod {
        match update {
            PodUpdate::Apply(pod) => pod,
            other => panic!("{other:?}"),
        }
    }

    fn presence_for(status: Value) -> ImagePresence {
        let mut status = status;
        status["name"] = "app".into();
        let spec = json!({"containers": [{"name": "app", "image": "a"}]});
        let pod = expect_apply(parse(&pod(&spec, &json!({"containerStatuses": [status]}))));
        pod.images[0].presence.clone()
    }

    fn waiting(reason: &str) -> ImagePresence {
        ImagePresence::Waiting { reason: Some(reason.into()), message: None }
    }

    #[test]
    fn images_follow_kubelet_pull_order() {
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
        let pod = expect_apply(parse(&pod(&spec, &Value::Null)));
        let seen: Vec<_> = pod
            .images
            .iter()
            .map(|image| (&*image.name, image.kind, image.image.to_string()))
            .collect();
        assert_eq!(
            seen,
            [
                ("model", ImageConsumerKind::Volume, "r.io/model:1".to_owned()),
                ("setup", ImageConsumerKind::Init, "docker.io/library/setup:latest".to_owned()),
                ("proxy", ImageConsumerKind::Sidecar, "docker.io/library/proxy:latest".to_owned()),
                ("app", ImageConsumerKind::Container, "r.io/app:1".to_owned()),
                ("odd", ImageConsumerKind::Container, "NO NAME".to_owned()),
                (
                    "debug",
                    ImageConsumerKind::Ephemeral,
                    "docker.io/library/debug:latest".to_owned()
                ),
            ]
        );
        assert!(pod.images.iter().all(|image| image.presence == no_status()));
        let volume = &pod.images[0];
        assert_eq!(volume.consumer, volume_consumer(&volume.image));
    }

    #[test]
    fn waiting_container_keeps_kubelet_reason_and_message() {
        let message = "Back-off pulling image";
        assert_eq!(
            presence_for(
                json!({"state": {"waiting": {"reason": "ImagePullBackOff", "message": message}}})
            ),
            ImagePresence::Waiting {
                reason: Some("ImagePullBackOff".into()),
                message: Some(message.into()),
            }
        );
        for word in ["ContainerCreating", "PodInitializing", "SomethingNew"] {
            let status = json!({"imageID": "", "state": {"waiting": {"reason": word}}});
            assert_eq!(presence_for(status), waiting(word));
        }
        assert_eq!(presence_for(json!({})), no_status());
        assert_eq!(presence_for(json!({"state": {}})), no_status());
    }

    #[test]
    fn container_that_ran_has_image_unless_pulling_again() {
        let digest = format!("sha256:{}", "a".repeat(64));
        let id = format!("r.io/app@{digest}");
        let started = "2026-11-24T17:00:50Z";
        let present = ImagePresence::Present {
            root_digest: Some(digest.parse().unwrap()),
            started_at: Some(started.parse().unwrap()),
        };
        let ran = json!({"terminated": {"exitCode": 1, "startedAt": started}});
        let running = json!({"running": {"startedAt": started}});
        for state in [&running, &ran] {
            assert_eq!(presence_for(json!({"imageID": id, "state": state})), present);
        }
        for word in ["CrashLoopBackOff", "ContainerCreating", "SomethingNew"] {
            let state = json!({"waiting": {"reason": word}});
            let status = json!({"imageID": id, "state": state, "lastState": ran});
            assert_eq!(presence_for(status), present, "{word}");
        }
        for word in IMAGE_WAIT_REASONS {
            let state = json!({"waiting": {"reason": word}});
            let status = json!({"imageID": id, "state": state, "lastState": ran});
            assert_eq!(presence_for(status), waiting(word));
        }
    }

    #[test]
    fn post_image_reasons_mean_image_is_present() {
        for word in POST_IMAGE_REASONS {
            let status = json!({"imageID": "", "state": {"waiting": {"reason": word}}});
            let present = ImagePresence::Present { root_digest: None, started_at: None };
            assert_eq!(presence_for(status), present, "{word}");
        }
    }

    #[test]
    fn config_digest_and_epoch_start_time_are_ignored() {
        let digest = format!("sha256:{}", "a".repeat(64));
        let state = json!({"terminated": {"startedAt": "1970-01-01T00:00:00Z"}});
        assert_eq!(
            presence_for(json!({"imageID": digest, "state": state})),
            ImagePresence::Present { root_digest: None, started_at: None }
        );
    }

    #[test]
    fn volumes_are_present_after_first_container_ran() {
        let spec = json!({
            "volumes": [{"name": "model", "image": {"reference": "model"}}],
            "containers": [{"name": "app", "image": "app"}],
        });
        let state = |status: Value| {
            let status = json!({"containerStatuses": [status]});
            expect_apply(parse(&pod(&spec, &status))).images[0].presence.clone()
        };
        let waits = json!({"name": "app", "state": {"waiting": {"reason": "ContainerCreating"}}});
        assert_eq!(state(waits), no_status());
        let runs = json!({"name": "app", "state": {"running": {}}});
        assert!(matches!(state(runs), ImagePresence::Present { .. }));
    }

    #[test]
    fn mirror_pod_uses_config_hash_as_uid() {
        let spec = json!({"containers": []});
        let mut mirror = pod(&spec, &Value::Null);
        let hash = "kubernetes.io/config.hash";
        mirror["metadata"]["annotations"] =
            json!({hash: "h-1", "kubernetes.io/config.mirror": "h-1"});
        assert_eq!(expect_apply(parse(&mirror)).pod.uid.as_str(), "h-1");
        // Anyone can set an annotation.
        mirror["metadata"]["annotations"] = json!({hash: "h-1"});
        assert_eq!(expect_apply(parse(&mirror)).pod.uid.as_str(), "u-1");
    }

    #[test]
    fn deleted_pod_yields_delete_with_uid() {
        let pod = pod(&json!({"containers": []}), &Value::Null);
        let deleted = parse_with(&mut PodParser::default(), pod, ObjectChange::Deleted);
        assert_eq!(deleted, PodUpdate::Delete("u-1".parse().unwrap()));
    }

    #[test]
    fn malformed_pods_are_reported_as_malformed() {
        let good = || {
            let spec = json!({"containers": [{"name": "app", "image": "a"}]});
            pod(&spec, &json!({"containerStatuses": [{"name": "app"}]}))
        };
        expect_apply(parse(&good()));
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
            assert_eq!(parse(&odd), PodUpdate::Malformed, "{path}");
        }
        assert_eq!(parse(&json!("a pod")), PodUpdate::Malformed);
        let mut without = good();
        without.as_object_mut().unwrap().remove("status");
        expect_apply(parse(&without));
    }

    #[test]
    fn recorded_pod_statuses_are_all_parsed() {
        let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/../pulltrace-testkit/fixtures/kubelet");
        let mut pods = PodParser::default();
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
                    let mut matching = specs.filter(|pod| pod["metadata"]["name"] == status["pod"]);
                    let mut pod = matching.next().unwrap().clone();
                    pod["metadata"]["namespace"] = recording["scenario"].clone();
                    pod["metadata"]["uid"] = status["uid"].clone();
                    pod["status"] = status.clone();
                    let pod = expect_apply(parse_with(&mut pods, pod, ObjectChange::Changed));
                    for image in &pod.images {
                        match &image.presence {
                            ImagePresence::Waiting { .. } => waiting += 1,
                            ImagePresence::Present { root_digest: root, started_at: since } => {
                                present += 1;
                                let container = image.kind != ImageConsumerKind::Volume;
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
