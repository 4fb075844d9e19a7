//! Parses events of the API server into [`PullEvent`]s.

use std::time::Duration;

use pulltrace_core::kubelet::KubeletMessage;
use pulltrace_core::{ImageConsumer, KubeName, NodeName, NodeTime, PodRef};
use serde::Deserialize;

use super::intern::Intern;
use super::merge::{ObjectChange, WatchedResource};
use super::object::ObjectFields;
use crate::cluster::{PullEvent, PullEventUpdate, SourceFailure};

/// Field selectors have no "or", so each reason is watched separately. `BackOff` is not watched:
/// most of those events are about crashing containers, and a back-off from a pull is also reported
/// as `Failed`.
const REASONS: [&str; 5] = ["Pulling", "Pulled", "Failed", "InspectFailed", "ErrImageNeverPull"];

/// Prefix of a message that was combined from several events.
const COMBINED_PREFIX: &str = "(combined from similar events): ";

/// Maximum time that an event may be ahead of the API server's clock.
const MAX_CLOCK_SKEW: Duration = Duration::from_secs(24 * 3_600);

/// 2014-06-07, before the first kubelet: an earlier time means that the node's clock was not set.
const MIN_UNIX_NANOS: i64 = 1_402_099_200 * 1_000_000_000;

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RawEvent {
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

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    name: String,
    creation_timestamp: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Involved {
    kind: Option<String>,
    namespace: Option<String>,
    name: Option<String>,
    uid: Option<String>,
    field_path: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
struct Source {
    component: Option<String>,
    host: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Series {
    count: Option<i64>,
    last_observed_time: Option<String>,
}

/// Parses events. Common strings are interned.
#[derive(Debug, Default)]
pub(super) struct EventParser {
    nodes: Intern<NodeName>,
    namespaces: Intern<KubeName>,
    slots: Intern<ImageConsumer>,
}

impl ObjectFields for RawEvent {
    const KIND: &'static str = "Event";
    const PLURAL: &'static str = "events";
}

impl WatchedResource for EventParser {
    type Fields = RawEvent;
    type Update = PullEventUpdate;

    const HAS_DELETIONS: bool = false;

    fn selectors() -> Vec<String> {
        let selector = |reason| format!("reason={reason},involvedObject.kind=Pod");
        REASONS.map(selector).to_vec()
    }

    fn init_update() -> PullEventUpdate {
        PullEventUpdate::Init
    }

    fn init_done_update() -> PullEventUpdate {
        PullEventUpdate::InitDone
    }

    fn failing_update(failure: SourceFailure) -> PullEventUpdate {
        PullEventUpdate::Failing(failure)
    }

    fn malformed_update() -> PullEventUpdate {
        PullEventUpdate::Malformed
    }

    fn parse(&mut self, fields: &RawEvent, how: ObjectChange) -> Option<PullEventUpdate> {
        match (how, self.parse_event(fields)) {
            // A deleted event is still true.
            (ObjectChange::Deleted, _) | (_, Ok(None)) => None,
            (ObjectChange::Listed, Ok(Some(event))) => Some(PullEventUpdate::InitApply(event)),
            (ObjectChange::Changed, Ok(Some(event))) => Some(PullEventUpdate::Apply(event)),
            (_, Err(Malformed)) => Some(PullEventUpdate::Malformed),
        }
    }
}

/// The event could not be parsed.
struct Malformed;

impl EventParser {
    /// Returns `None` for events of other components and for failures to start a container.
    fn parse_event(&mut self, raw: &RawEvent) -> Result<Option<PullEvent>, Malformed> {
        let component = raw.source.as_ref().and_then(|source| source.component.as_deref());
        let component = component.filter(|word| !word.is_empty());
        if component.or(raw.reporting_component.as_deref()) != Some("kubelet") {
            return Ok(None);
        }
        let reason = raw.reason.as_deref().unwrap_or_default();
        let message = raw.message.as_deref().unwrap_or_default();
        let message = message.strip_prefix(COMBINED_PREFIX).unwrap_or(message);
        let Some(message) = KubeletMessage::parse(reason, message) else {
            return if reason == "Failed" { Ok(None) } else { Err(Malformed) };
        };
        self.build_event(raw, message).map(Some).ok_or(Malformed)
    }

    fn build_event(&mut self, raw: &RawEvent, message: KubeletMessage) -> Option<PullEvent> {
        let involved = raw.involved_object.as_ref()?;
        if involved.kind.as_deref() != Some("Pod") {
            return None;
        }
        let slot = match involved.field_path.as_deref() {
            Some(path) if !path.is_empty() => Some(self.slots.get(container_name(path)?).ok()?),
            // For an image volume, the image is only known if the message names it.
            _ => {
                message.image.as_ref()?;
                None
            }
        };
        let host = raw.source.as_ref().and_then(|source| source.host.as_deref());
        let host = host.filter(|host| !host.is_empty());
        let node = host.or(raw.reporting_instance.as_deref())?;
        let (first, last) = parse_times(raw)?;
        let series = raw.series.as_ref().and_then(|series| series.count);
        let count = raw.count.filter(|count| *count > 0).or(series).unwrap_or(1);
        Some(PullEvent {
            name: raw.metadata.name.as_str().into(),
            pod: PodRef {
                namespace: self.namespaces.get(involved.namespace.as_deref()?).ok()?,
                name: involved.name.as_deref()?.parse().ok()?,
                uid: involved.uid.as_deref()?.parse().ok()?,
            },
            node: self.nodes.get(node).ok()?,
            consumer: slot,
            message,
            first_seen: first,
            last_seen: last,
            count: u32::try_from(count.max(1)).unwrap_or(u32::MAX),
        })
    }
}

/// Returns the container's name from a path such as `spec.initContainers{setup}`.
fn container_name(path: &str) -> Option<&str> {
    let (list, rest) = path.split_once('{')?;
    let name = rest.strip_suffix('}')?;
    ["spec.containers", "spec.initContainers", "spec.ephemeralContainers"]
        .contains(&list)
        .then_some(name)
}

/// The first and last occurrence, unless they are implausible.
fn parse_times(raw: &RawEvent) -> Option<(NodeTime, NodeTime)> {
    let parse = |text: &Option<String>| text.as_deref()?.parse::<NodeTime>().ok();
    let first = parse(&raw.first_timestamp).or_else(|| parse(&raw.event_time))?;
    let observed = raw.series.as_ref().and_then(|series| parse(&series.last_observed_time));
    let last = parse(&raw.last_timestamp).or(observed).unwrap_or(first);
    // The object was created at the first occurrence and stamped by the API server.
    let stamped = parse(&raw.metadata.creation_timestamp)?;
    if last < first || first.unix_nanos() < MIN_UNIX_NANOS || first.since(stamped) > MAX_CLOCK_SKEW
    {
        return None;
    }
    // Event times are truncated to seconds, not rounded.
    let exact = time_from_name(&raw.metadata.name);
    let agrees = |exact: &NodeTime| *exact >= first && exact.since(first) < Duration::from_secs(1);
    let exact = exact.filter(agrees).unwrap_or(first);
    Some((exact, last.max(exact)))
}

/// client-go names an event after its pod and the time in nanoseconds, in hexadecimal.
fn time_from_name(name: &str) -> Option<NodeTime> {
    let nanos = i64::from_str_radix(name.rsplit_once('.')?.1, 16).ok()?;
    NodeTime::from_unix_nanos(nanos).ok()
}

#[cfg(test)]
mod tests {
    use pulltrace_core::FailureReason;
    use pulltrace_core::kubelet::PullEventKind;
    use serde_json::{Value, json};

    use super::super::object::Object;
    use super::*;

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

    fn parse_with(
        parser: &mut EventParser,
        event: &Value,
        how: ObjectChange,
    ) -> Option<PullEventUpdate> {
        match serde_json::from_value::<Object<RawEvent>>(event.clone()).unwrap().fields {
            Some(fields) => parser.parse(&fields, how),
            None => Some(PullEventUpdate::Malformed),
        }
    }

    fn parse(event: &Value) -> Option<PullEventUpdate> {
        parse_with(&mut EventParser::default(), event, ObjectChange::Changed)
    }

    #[track_caller]
    fn parse_applied(event: &Value) -> PullEvent {
        match parse(event) {
            Some(PullEventUpdate::Apply(event)) => event,
            other => panic!("{other:?}"),
        }
    }

    fn pulling_with(path: &str, value: Value) -> Value {
        let mut event = pulling();
        let (parent, name) = path.rsplit_once('/').unwrap();
        event.pointer_mut(parent).unwrap()[name] = value;
        event
    }

    #[test]
    fn event_yields_pod_node_container_image_and_exact_time() {
        let event = parse_applied(&pulling());
        assert_eq!(event.name.as_ref(), "web.18eb077c8c58c3ef");
        assert_eq!(event.pod.to_string(), "shop/web");
        assert_eq!(event.node.as_str(), "node-1");
        assert_eq!(event.consumer, Some("app".parse().unwrap()));
        assert_eq!(event.message.image.unwrap().to_string(), "r.io/app:1");
        assert_eq!(event.first_seen.to_string(), "2026-11-24T16:18:27.949241327Z");
        assert_eq!(event.last_seen, event.first_seen);
        assert_eq!((event.count, event.message.kind), (1, PullEventKind::Pulling));
    }

    #[test]
    fn repeated_event_yields_count_and_last_time() {
        let mut again = pulling_with("/count", json!(3));
        again["lastTimestamp"] = "2026-11-24T16:19:01Z".into();
        let event = parse_applied(&again);
        assert_eq!(
            (event.count, event.last_seen.to_string().as_str()),
            (3, "2026-11-24T16:19:01Z")
        );
    }

    #[test]
    fn name_with_inconsistent_time_is_ignored() {
        for name in ["web", "web.x", "web.1", "web.18eb077d98c58c3ef", "web.ffffffffffffffff"] {
            let event = parse_applied(&pulling_with("/metadata/name", json!(name)));
            assert_eq!(event.first_seen.to_string(), "2026-11-24T16:18:27Z", "{name}");
        }
    }

    #[test]
    fn event_series_is_parsed() {
        let mut event = pulling();
        event["firstTimestamp"] = Value::Null;
        event["lastTimestamp"] = Value::Null;
        event["count"] = Value::Null;
        event["source"] = json!({});
        event["eventTime"] = "2026-11-24T16:18:27.973521Z".into();
        event["series"] = json!({"count": 4, "lastObservedTime": "2026-11-24T16:20:00.5Z"});
        let event = parse_applied(&event);
        assert_eq!(event.node.as_str(), "node-2");
        assert_eq!(event.first_seen.to_string(), "2026-11-24T16:18:27.973521Z");
        assert_eq!(event.last_seen.to_string(), "2026-11-24T16:20:00.5Z");
        assert_eq!(event.count, 4);
    }

    #[test]
    fn field_path_distinguishes_container_kinds_and_volumes() {
        for (path, slot) in [
            ("spec.containers{app}", Some("app")),
            ("spec.initContainers{setup}", Some("setup")),
            ("spec.ephemeralContainers{debug}", Some("debug")),
            ("", None),
        ] {
            let event = parse_applied(&pulling_with("/involvedObject/fieldPath", json!(path)));
            assert_eq!(event.consumer, slot.map(|name| name.parse().unwrap()));
        }
    }

    #[test]
    fn combined_message_prefix_is_stripped() {
        let message = "(combined from similar events): Failed to pull image \"a\": unexpected status from HEAD request to https://r.io/v2/a: 429 Too Many Requests";
        let mut event = pulling_with("/message", json!(message));
        event["reason"] = "Failed".into();
        match parse_applied(&event).message.kind {
            PullEventKind::Failed(failure) => {
                assert_eq!(failure.reason, FailureReason::RateLimited)
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn unrelated_and_deleted_events_are_ignored() {
        assert_eq!(parse(&pulling_with("/source/component", json!("job-controller"))), None);
        let mut event = pulling_with("/reason", json!("Failed"));
        event["message"] = "Error: failed to create containerd task".into();
        assert_eq!(parse(&event), None);
        let deleted = parse_with(&mut EventParser::default(), &pulling(), ObjectChange::Deleted);
        assert_eq!(deleted, None);
    }

    #[test]
    fn malformed_events_are_reported_as_malformed() {
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
            ("/involvedObject/fieldPath", json!("implicitly required container POD")),
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
            let odd = pulling_with(path, value);
            assert_eq!(parse(&odd), Some(PullEventUpdate::Malformed), "{odd}");
        }
        // The image cannot be determined.
        let mut odd = pulling_with("/involvedObject/fieldPath", Value::Null);
        odd["reason"] = "Failed".into();
        odd["message"] = "Error: ErrImagePull".into();
        assert_eq!(parse(&odd), Some(PullEventUpdate::Malformed));
        assert_eq!(parse(&json!([])), Some(PullEventUpdate::Malformed));
    }

    #[test]
    fn out_of_range_counts_are_clamped() {
        for (count, read) in [(json!(0), 1), (json!(-3), 1), (json!(i64::MAX), u32::MAX)] {
            assert_eq!(parse_applied(&pulling_with("/count", count)).count, read);
        }
    }

    #[test]
    fn recorded_kubelet_events_are_all_parsed() {
        let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/../pulltrace-testkit/fixtures/kubelet");
        let mut events = EventParser::default();
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
                    match parse_with(&mut events, object, ObjectChange::Changed) {
                        Some(PullEventUpdate::Apply(event)) => {
                            understood += 1;
                            let pod = &object["involvedObject"];
                            assert_eq!(event.pod.uid.as_str(), pod["uid"]);
                            assert_eq!(event.consumer.is_none(), pod["fieldPath"].is_null());
                            assert_ne!(
                                event.first_seen.unix_nanos() % 1_000_000_000,
                                0,
                                "not exact"
                            );
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
