//! Events of real kubelets (`pulltrace-testkit/fixtures/kubelet`), replayed in their order.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use pulltrace_core::PodRef;
use pulltrace_core::kubelet::KubeletMessage;
use serde_json::Value;

use super::world::World;
use crate::cluster::PullEvent;

/// Each scenario, its failure reason, and the minimum number of attempts if it never succeeds.
const SCENARIOS: [(&str, Option<&str>, Option<u32>); 22] = [
    ("cached-always", None, None),
    ("cached-ifnotpresent", None, None),
    ("connection-refused", Some("connection_refused"), Some(2)),
    ("deleted-while-pulling", None, None),
    ("digest", None, None),
    ("forbidden", Some("unauthorized"), Some(2)),
    ("image-volume", None, None),
    ("image-volume-not-found", Some("not_found"), Some(2)),
    ("init-container", None, None),
    ("invalid-name", Some("invalid_name"), Some(1)),
    ("never-present", Some("never_pull"), Some(1)),
    ("normal", None, None),
    ("not-found", Some("not_found"), Some(3)),
    ("qps-exceeded", Some("kubelet_qps"), None),
    ("rate-limited", Some("rate_limited"), Some(2)),
    ("server-error", Some("registry_error"), Some(2)),
    ("sidecar", None, None),
    ("then-found", Some("not_found"), None),
    ("two-containers", None, None),
    ("two-pods-one-image", None, None),
    ("two-pods-two-images", None, None),
    ("unauthorized", Some("unauthorized"), Some(2)),
];

fn recording_files() -> Vec<PathBuf> {
    let root =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../pulltrace-testkit/fixtures/kubelet");
    let folders = fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path());
    folders
        .filter(|path| path.is_dir())
        .flat_map(|folder| fs::read_dir(folder).unwrap())
        .map(|entry| entry.unwrap().path())
        .collect()
}

/// Converts a recorded object, if it is a kubelet event about an image.
fn parse_event(object: &Value) -> Option<PullEvent> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let pod = &object["involvedObject"];
    if pod["kind"] != "Pod" {
        return None;
    }
    let reason = text(&object["reason"]);
    if reason == "BackOff" {
        return None;
    }
    let message = KubeletMessage::parse(&reason, &text(&object["message"]))?;
    let path = text(&pod["fieldPath"]);
    let slot = path.split_once('{').map(|(_, rest)| rest.trim_end_matches('}'));
    Some(PullEvent {
        name: text(&object["metadata"]["name"]).into(),
        pod: PodRef {
            namespace: text(&pod["namespace"]).parse().unwrap(),
            name: text(&pod["name"]).parse().unwrap(),
            uid: text(&pod["uid"]).parse().unwrap(),
        },
        node: "w1".parse().unwrap(),
        consumer: slot.map(|slot| slot.parse().unwrap()),
        message,
        first_seen: text(&object["firstTimestamp"]).parse().unwrap(),
        last_seen: text(&object["lastTimestamp"]).parse().unwrap(),
        count: u32::try_from(object["count"].as_u64().unwrap()).unwrap(),
    })
}

#[test]
fn recorded_kubelet_failures_and_attempts_are_shown() {
    let mut checked = 0;
    for file in recording_files() {
        let recording: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
        let scenario = recording["scenario"].as_str().unwrap();
        let known = SCENARIOS.iter().find(|(name, ..)| *name == scenario);
        let (_, reason, tries) = known.unwrap_or_else(|| panic!("unknown scenario {scenario}"));
        let mut world = World::without_sources();
        world.sync_events();
        let mut reasons = BTreeSet::new();
        for entry in recording["events"].as_array().unwrap() {
            let Some(event) = parse_event(&entry["object"]) else {
                continue;
            };
            world.emit_event(event);
            let failures = world.rows.values().filter_map(|(pull, _)| pull.failure.as_ref());
            reasons.extend(failures.map(|failure| failure.reason.as_str()));
        }
        world.advance(3);
        let path = file.display();
        assert_eq!(reasons.into_iter().collect::<Vec<_>>(), Vec::from_iter(*reason), "{path}");
        let rows = world.announced_rows();
        match tries {
            Some(tries) => {
                let [(pull, links)] = rows[..] else {
                    panic!("{path}: {rows:?}");
                };
                assert_eq!(pull.phase.as_str(), "failed", "{path}");
                assert!(links.attempt >= Some(*tries), "{path}: {:?}", links.attempt);
                let retries = *tries > 1;
                assert_eq!(links.next_retry_at.is_some(), retries, "{path}");
            }
            None if scenario == "qps-exceeded" => {}
            None => {
                assert!(rows.iter().all(|(pull, _)| pull.outcome().is_some()), "{path}: {rows:?}")
            }
        }
        checked += 1;
    }
    assert!(checked >= 48, "only {checked} recordings");
}
