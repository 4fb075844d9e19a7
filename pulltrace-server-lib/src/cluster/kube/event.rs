//! An event as the API server has it → what a kubelet says of an image.

use std::time::Duration;

use pulltrace_core::{KubeName, NodeName, NodeTime, PodRef, Slot};
use serde::Deserialize;

use super::feed::{How, Kind, Said};
use super::intern::Intern;
use crate::cluster::{KubeletWord, PullEvent, PullEventUpdate, Trouble};

/// A selector has no "or", so each reason is watched by itself. `BackOff` is mostly of containers that
/// crash, and is not: that the kubelet backs off from a pull is said in a `Failed`, too.
const REASONS: [&str; 5] = [
    "Pulling",
    "Pulled",
    "Failed",
    "InspectFailed",
    "ErrImageNeverPull",
];

/// What stands before a message that was made of many.
const COMBINED: &str = "(combined from similar events): ";

/// Further than this a node's clock is not before that of the API server.
const FAR: Duration = Duration::from_secs(24 * 3_600);

/// There was no kubelet before 2014-06-07: a clock that says so was not set yet.
const BEGINNING: i64 = 1_402_099_200 * 1_000_000_000;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    metadata: Metadata,
    involved_object: Option<Involved>,
    reason: Option<String>,
    message: Option<String>,
    source: Option<Source>,
    first_timestamp: Option<String>,
    last_timestamp: Option<String>,
    count: Option<i64>,
    event_time: Option<String>,
    series: Option<Series>,
    reporting_component: Option<String>,
    reporting_instance: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    name: String,
    resource_version: Option<String>,
    creation_timestamp: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Involved {
    kind: Option<String>,
    namespace: Option<String>,
    name: Option<String>,
    uid: Option<String>,
    field_path: Option<String>,
}

#[derive(Deserialize)]
struct Source {
    component: Option<String>,
    host: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Series {
    count: Option<i64>,
    last_observed_time: Option<String>,
}

/// Reads events. What many of them have in common is kept once.
#[derive(Debug, Default)]
pub(super) struct Events {
    nodes: Intern<NodeName>,
    namespaces: Intern<KubeName>,
    slots: Intern<Slot>,
}

impl Kind for Events {
    type Update = PullEventUpdate;

    const PLURAL: &'static str = "events";
    const FORGETS: bool = false;

    fn selectors() -> Vec<String> {
        let of = |reason| format!("reason={reason},involvedObject.kind=Pod");
        REASONS.map(of).to_vec()
    }

    fn reset() -> PullEventUpdate {
        PullEventUpdate::Reset
    }

    fn done() -> PullEventUpdate {
        PullEventUpdate::Done
    }

    fn trouble(trouble: Trouble) -> PullEventUpdate {
        PullEventUpdate::Trouble(trouble)
    }

    fn read(&mut self, object: &str, how: How) -> Said<PullEventUpdate> {
        let Ok(raw) = serde_json::from_str::<Raw>(object) else {
            return Said {
                update: Some(PullEventUpdate::Odd),
                version: None,
            };
        };
        let update = match (how, self.event(&raw)) {
            // What it says stays true.
            (How::Deleted, _) | (_, Ok(None)) => None,
            (How::Listed, Ok(Some(event))) => Some(PullEventUpdate::Init(event)),
            (How::Changed, Ok(Some(event))) => Some(PullEventUpdate::Applied(event)),
            (_, Err(Odd)) => Some(PullEventUpdate::Odd),
        };
        Said {
            update,
            version: raw.metadata.resource_version,
        }
    }
}

/// It is not understood.
struct Odd;

impl Events {
    /// Nothing of what other components say, and of containers that do not start.
    fn event(&mut self, raw: &Raw) -> Result<Option<PullEvent>, Odd> {
        let component = raw
            .source
            .as_ref()
            .and_then(|source| source.component.as_deref());
        let component = component.filter(|word| !word.is_empty());
        if component.or(raw.reporting_component.as_deref()) != Some("kubelet") {
            return Ok(None);
        }
        let reason = raw.reason.as_deref().unwrap_or_default();
        let message = raw.message.as_deref().unwrap_or_default();
        let message = message.strip_prefix(COMBINED).unwrap_or(message);
        let Some((word, image)) = KubeletWord::of(reason, message) else {
            return if reason == "Failed" {
                Ok(None)
            } else {
                Err(Odd)
            };
        };
        self.understood(raw, word, image).map(Some).ok_or(Odd)
    }

    fn understood(
        &mut self,
        raw: &Raw,
        word: KubeletWord,
        image: Option<pulltrace_core::WantedImage>,
    ) -> Option<PullEvent> {
        let about = raw.involved_object.as_ref()?;
        if about.kind.as_deref() != Some("Pod") {
            return None;
        }
        let slot = match about.field_path.as_deref() {
            Some(path) if !path.is_empty() => Some(self.slots.get(container(path)?).ok()?),
            // Of an image volume the message names the image, or nothing does.
            _ => {
                image.as_ref()?;
                None
            }
        };
        let host = raw
            .source
            .as_ref()
            .and_then(|source| source.host.as_deref());
        let host = host.filter(|host| !host.is_empty());
        let node = host.or(raw.reporting_instance.as_deref())?;
        let (first, last) = times(raw)?;
        let series = raw.series.as_ref().and_then(|series| series.count);
        let count = raw.count.filter(|count| *count > 0).or(series).unwrap_or(1);
        Some(PullEvent {
            name: raw.metadata.name.as_str().into(),
            pod: PodRef {
                namespace: self.namespaces.get(about.namespace.as_deref()?).ok()?,
                name: about.name.as_deref()?.parse().ok()?,
                uid: about.uid.as_deref()?.parse().ok()?,
            },
            node: self.nodes.get(node).ok()?,
            slot,
            image,
            first,
            last,
            count: u32::try_from(count.max(1)).unwrap_or(u32::MAX),
            word,
        })
    }
}

/// `spec.initContainers{setup}`.
fn container(path: &str) -> Option<&str> {
    let (list, rest) = path.split_once('{')?;
    let name = rest.strip_suffix('}')?;
    [
        "spec.containers",
        "spec.initContainers",
        "spec.ephemeralContainers",
    ]
    .contains(&list)
    .then_some(name)
}

/// When it happened first and last, where that can be true.
fn times(raw: &Raw) -> Option<(NodeTime, NodeTime)> {
    let parse = |text: &Option<String>| text.as_deref()?.parse::<NodeTime>().ok();
    let first = parse(&raw.first_timestamp).or_else(|| parse(&raw.event_time))?;
    let observed = raw
        .series
        .as_ref()
        .and_then(|series| parse(&series.last_observed_time));
    let last = parse(&raw.last_timestamp).or(observed).unwrap_or(first);
    // The object was made when it happened first, and the API server stamped it.
    let stamped = parse(&raw.metadata.creation_timestamp)?;
    if last < first || first.unix_nanos() < BEGINNING || first.since(stamped) > FAR {
        return None;
    }
    // The seconds were cut off, not rounded.
    let exact = exact(&raw.metadata.name);
    let agrees = |exact: &NodeTime| *exact >= first && exact.since(first) < Duration::from_secs(1);
    let exact = exact.filter(agrees).unwrap_or(first);
    Some((exact, last.max(exact)))
}

/// client-go names an event after its pod and the nanoseconds of its time, in hex.
fn exact(name: &str) -> Option<NodeTime> {
    let nanos = i64::from_str_radix(name.rsplit_once('.')?.1, 16).ok()?;
    NodeTime::from_unix_nanos(nanos).ok()
}

#[cfg(test)]
mod tests {
    use pulltrace_core::FailureReason;
    use serde_json::{Value, json};

    use super::*;
    use crate::cluster::KubeletWord;

    fn pulling() -> Value {
        json!({
            "metadata": {
                "name": "web.18eb077c8c58c3ef",
                "namespace": "shop",
                "resourceVersion": "348",
                "creationTimestamp": "2026-11-24T16:18:27Z",
            },
            "involvedObject": {
                "kind": "Pod",
                "namespace": "shop",
                "name": "web",
                "uid": "u-1",
                "fieldPath": "spec.containers{app}",
            },
            "reason": "Pulling",
            "message": "Pulling image \"r.io/app:1\"",
            "source": {"component": "kubelet", "host": "node-1"},
            "firstTimestamp": "2026-11-24T16:18:27Z",
            "lastTimestamp": "2026-11-24T16:18:27Z",
            "count": 1,
            "eventTime": null,
            "reportingComponent": "kubelet",
            "reportingInstance": "node-2",
        })
    }

    fn read(event: &Value) -> Option<PullEventUpdate> {
        Events::default()
            .read(&event.to_string(), How::Changed)
            .update
    }

    #[track_caller]
    fn applied(event: &Value) -> PullEvent {
        match read(event) {
            Some(PullEventUpdate::Applied(event)) => event,
            other => panic!("{other:?}"),
        }
    }

    fn with(path: &str, value: Value) -> Value {
        let mut event = pulling();
        let (parent, name) = path.rsplit_once('/').unwrap();
        event.pointer_mut(parent).unwrap()[name] = value;
        event
    }

    #[test]
    fn an_event_names_pod_node_container_image_and_its_exact_time() {
        let event = applied(&pulling());
        assert_eq!(event.name.as_ref(), "web.18eb077c8c58c3ef");
        assert_eq!(event.pod.to_string(), "shop/web");
        assert_eq!(event.node.as_str(), "node-1");
        assert_eq!(event.slot, Some("app".parse().unwrap()));
        assert_eq!(event.image.unwrap().to_string(), "r.io/app:1");
        assert_eq!(event.first.to_string(), "2026-11-24T16:18:27.949241327Z");
        assert_eq!(event.last, event.first);
        assert_eq!((event.count, event.word), (1, KubeletWord::Pulling));
    }

    #[test]
    fn an_event_that_happened_again_says_how_often_and_when() {
        let mut again = with("/count", json!(3));
        again["lastTimestamp"] = "2026-11-24T16:19:01Z".into();
        let event = applied(&again);
        assert_eq!(
            (event.count, event.last.to_string().as_str()),
            (3, "2026-11-24T16:19:01Z")
        );
    }

    #[test]
    fn a_name_that_tells_another_time_is_not_believed() {
        for name in [
            "web",
            "web.x",
            "web.1",
            "web.18eb077d98c58c3ef",
            "web.ffffffffffffffff",
        ] {
            let event = applied(&with("/metadata/name", json!(name)));
            assert_eq!(event.first.to_string(), "2026-11-24T16:18:27Z", "{name}");
        }
    }

    #[test]
    fn the_newer_kind_of_event_is_understood() {
        let mut event = pulling();
        event["firstTimestamp"] = Value::Null;
        event["lastTimestamp"] = Value::Null;
        event["count"] = Value::Null;
        event["source"] = json!({});
        event["eventTime"] = "2026-11-24T16:18:27.973521Z".into();
        event["series"] = json!({"count": 4, "lastObservedTime": "2026-11-24T16:20:00.5Z"});
        let event = applied(&event);
        assert_eq!(event.node.as_str(), "node-2");
        assert_eq!(event.first.to_string(), "2026-11-24T16:18:27.973521Z");
        assert_eq!(event.last.to_string(), "2026-11-24T16:20:00.5Z");
        assert_eq!(event.count, 4);
    }

    #[test]
    fn all_kinds_of_containers_and_a_volume_are_told_apart() {
        for (path, slot) in [
            ("spec.containers{app}", Some("app")),
            ("spec.initContainers{setup}", Some("setup")),
            ("spec.ephemeralContainers{debug}", Some("debug")),
            ("", None),
        ] {
            let event = applied(&with("/involvedObject/fieldPath", json!(path)));
            assert_eq!(event.slot, slot.map(|name| name.parse().unwrap()));
        }
    }

    #[test]
    fn a_message_made_of_many_says_what_they_say() {
        let message = "(combined from similar events): Failed to pull image \"a\": unexpected status from HEAD request to https://r.io/v2/a: 429 Too Many Requests";
        let mut event = with("/message", json!(message));
        event["reason"] = "Failed".into();
        match applied(&event).word {
            KubeletWord::Failed(failure) => assert_eq!(failure.reason, FailureReason::RateLimited),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_others_say_and_what_is_of_no_image_is_nothing() {
        assert_eq!(
            read(&with("/source/component", json!("job-controller"))),
            None
        );
        let mut event = with("/reason", json!("Failed"));
        event["message"] = "Error: failed to create containerd task".into();
        assert_eq!(read(&event), None);
        let said = Events::default().read(&pulling().to_string(), How::Deleted);
        assert_eq!((said.update, said.version.as_deref()), (None, Some("348")));
    }

    #[test]
    fn events_that_are_not_understood_are_counted_and_nothing_else() {
        for (path, value) in [
            ("/involvedObject", Value::Null),
            ("/involvedObject/kind", json!("Node")),
            ("/involvedObject/uid", Value::Null),
            ("/involvedObject/uid", json!("")),
            ("/involvedObject/name", json!("n".repeat(254))),
            ("/involvedObject/namespace", json!("a/b")),
            ("/involvedObject/fieldPath", json!("spec.volumes{app}")),
            ("/involvedObject/fieldPath", json!("spec.containers{app")),
            ("/involvedObject/fieldPath", json!("spec.containers{}")),
            (
                "/involvedObject/fieldPath",
                json!("implicitly required container POD"),
            ),
            ("/source/host", json!("no host")),
            ("/message", json!("Pulling")),
            ("/message", Value::Null),
            ("/message", json!(7)),
            ("/firstTimestamp", Value::Null),
            ("/firstTimestamp", json!("tomorrow")),
            ("/firstTimestamp", json!("1970-01-01T00:00:00Z")),
            ("/firstTimestamp", json!("2099-01-01T00:00:00Z")),
            ("/lastTimestamp", json!("2026-11-24T16:18:26Z")),
            ("/metadata/creationTimestamp", Value::Null),
            ("/metadata/name", Value::Null),
        ] {
            let odd = with(path, value);
            assert_eq!(read(&odd), Some(PullEventUpdate::Odd), "{odd}");
        }
        // Which image of the pod it is, nothing says.
        let mut odd = with("/involvedObject/fieldPath", Value::Null);
        odd["reason"] = "Failed".into();
        odd["message"] = "Error: ErrImagePull".into();
        assert_eq!(read(&odd), Some(PullEventUpdate::Odd));
        assert_eq!(read(&json!([])), Some(PullEventUpdate::Odd));
    }

    #[test]
    fn counts_that_cannot_be_are_one_or_the_most() {
        for (count, read) in [(json!(0), 1), (json!(-3), 1), (json!(i64::MAX), u32::MAX)] {
            assert_eq!(applied(&with("/count", count)).count, read);
        }
    }

    #[test]
    fn all_that_real_kubelets_said_of_images_is_understood() {
        let dir = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../pulltrace-testkit/fixtures/kubelet"
        );
        let mut events = Events::default();
        let (mut recordings, mut understood, mut others) = (0, 0, 0);
        for folder in std::fs::read_dir(dir).unwrap() {
            let folder = folder.unwrap().path();
            if !folder.is_dir() {
                continue;
            }
            for file in std::fs::read_dir(folder).unwrap() {
                let path = file.unwrap().path();
                let recording: Value =
                    serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
                recordings += 1;
                for event in recording["events"].as_array().unwrap() {
                    let object = &event["object"];
                    let reason = object["reason"].as_str().unwrap();
                    if !REASONS.contains(&reason) {
                        continue;
                    }
                    match events.read(&object.to_string(), How::Changed).update {
                        Some(PullEventUpdate::Applied(event)) => {
                            understood += 1;
                            let pod = &object["involvedObject"];
                            assert_eq!(event.pod.uid.as_str(), pod["uid"]);
                            assert_eq!(event.slot.is_none(), pod["fieldPath"].is_null());
                            assert_ne!(event.first.unix_nanos() % 1_000_000_000, 0, "not exact");
                        }
                        None => {
                            others += 1;
                            assert_eq!(reason, "Failed", "{}: {object}", path.display());
                        }
                        other => panic!("{}: {other:?}: {object}", path.display()),
                    }
                }
            }
        }
        assert_eq!(recordings, 48);
        assert_eq!((understood, others), (270, 0));
    }
}
