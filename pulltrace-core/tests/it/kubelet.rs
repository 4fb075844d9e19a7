//! Parsing of real kubelet events from the recordings of the testkit.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use pulltrace_core::kubelet::{KubeletMessage, PullEventKind};
use pulltrace_core::{Bytes, Failure, FailureReason};
use serde_json::Value;

struct Recording {
    name: String,
    scenario: String,
    value: Value,
}

fn recordings() -> Vec<Recording> {
    let folders = fs::read_dir("../pulltrace-testkit/fixtures/kubelet").unwrap();
    let folders = folders.map(|folder| folder.unwrap().path());
    let files = folders
        .filter(|path| path.is_dir())
        .flat_map(|folder| fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()));
    let mut found: Vec<Recording> = files
        .map(|path| {
            let value: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
            Recording {
                name: path.display().to_string(),
                scenario: value["scenario"].as_str().unwrap().to_owned(),
                value,
            }
        })
        .collect();
    found.sort_by(|a, b| a.name.cmp(&b.name));
    assert_eq!(found.len(), 48);
    found
}

impl Recording {
    /// Returns container, reason and message of each event, in order.
    fn events(&self) -> impl Iterator<Item = (String, &str, &str)> {
        let events = self.value["events"].as_array().unwrap().iter();
        events.map(|event| {
            let object = &event["object"];
            let involved = &object["involvedObject"];
            let container = format!("{} {}", involved["name"], involved["fieldPath"]);
            let text = |field: &str| object[field].as_str().unwrap();
            (container, text("reason"), text("message"))
        })
    }

    /// Returns the expected failure reason of the scenario; `None` if its pulls succeed.
    fn cause(&self) -> Option<FailureReason> {
        Some(match self.scenario.as_str() {
            "not-found" | "then-found" | "image-volume-not-found" => FailureReason::NotFound,
            "unauthorized" | "forbidden" => FailureReason::Unauthorized,
            "rate-limited" => FailureReason::RateLimited,
            "server-error" => FailureReason::RegistryError,
            "connection-refused" => FailureReason::ConnectionRefused,
            "invalid-name" => FailureReason::InvalidName,
            "never-present" => FailureReason::NeverPull,
            "qps-exceeded" => FailureReason::KubeletQps,
            _ => return None,
        })
    }
}

#[test]
fn recorded_failures_keep_their_cause() {
    let mut failures = 0;
    for recording in recordings() {
        let mut known: BTreeMap<String, Failure> = BTreeMap::new();
        for (container, reason, message) in recording.events() {
            let parsed = KubeletMessage::parse(reason, message);
            if matches!(reason, "Failed" | "InspectFailed" | "ErrImageNeverPull") {
                assert_ne!(parsed, None, "{}: {message}", recording.name);
                failures += 1;
            }
            let Some(failure) = parsed.as_ref().and_then(KubeletMessage::failure).cloned() else {
                continue;
            };
            let word_only = failure.reason == FailureReason::Unexplained;
            assert!(
                word_only || Some(failure.reason) == recording.cause(),
                "{}: {} for {message}",
                recording.name,
                failure.reason
            );
            let now = match known.remove(&container) {
                Some(before) => before.refine(failure),
                None => failure,
            };
            known.insert(container, now);
        }
        let causes: Vec<FailureReason> = known.values().map(|known| known.reason).collect();
        match recording.cause() {
            // The event of an image volume names no container. The container's own event has no
            // cause.
            Some(cause) if recording.scenario == "image-volume-not-found" => {
                assert!(causes.contains(&cause), "{}: {causes:?}", recording.name);
            }
            Some(cause) => {
                assert!(!causes.is_empty(), "{}", recording.name);
                assert!(causes.iter().all(|c| *c == cause), "{}: {causes:?}", recording.name);
            }
            None => assert!(causes.is_empty(), "{}: {causes:?}", recording.name),
        }
    }
    assert!(failures > 100, "{failures}");
}

#[test]
fn recorded_statuses_classify_as_their_cause() {
    fn messages<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
        match value {
            Value::Object(map) => {
                let waiting = &value["waiting"];
                let pulling =
                    ["ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"];
                if waiting["reason"].as_str().is_some_and(|r| pulling.contains(&r)) {
                    found.extend(waiting["message"].as_str());
                }
                map.values().for_each(|value| messages(value, found));
            }
            Value::Array(items) => items.iter().for_each(|item| messages(item, found)),
            _ => {}
        }
    }
    let mut count = 0;
    for recording in recordings() {
        let mut found = Vec::new();
        messages(&recording.value["statuses"], &mut found);
        for message in found {
            let reason = FailureReason::classify(message);
            assert_eq!(Some(reason), recording.cause(), "{}: {message}", recording.name);
            count += 1;
        }
    }
    assert!(count > 50, "{count}");
}

#[test]
fn recorded_events_name_an_image_of_pod() {
    let mut pulled = 0;
    for recording in recordings() {
        let pods = recording.value["pods"].to_string();
        for (_, reason, message) in recording.events() {
            let parsed = KubeletMessage::parse(reason, message);
            let Some(KubeletMessage { image: Some(image), kind }) = parsed else {
                assert!(!matches!(reason, "Pulling" | "Pulled"), "{message}");
                continue;
            };
            match kind {
                PullEventKind::Pulled { took, took_including_waiting, size } => {
                    let (took, with_waiting) = (took.unwrap(), took_including_waiting.unwrap());
                    assert!(took > Duration::ZERO && took <= with_waiting, "{message}");
                    assert!(size.unwrap() > Bytes::ZERO);
                    pulled += 1;
                }
                PullEventKind::Failed(failure) if failure.reason == FailureReason::InvalidName => {
                    assert_eq!(image.image_ref(), None, "{message}");
                    continue;
                }
                _ => {}
            }
            assert!(image.image_ref().is_some(), "{}: {image}", recording.name);
            // The pod of one scenario was recorded without its digest.
            let image = image.to_string();
            let name = image.split_once('@').map_or(&*image, |(name, _)| name);
            assert!(pods.contains(&format!(":\"{name}")), "{}: {image}", recording.name);
        }
    }
    assert!(pulled > 30, "{pulled}");
}

#[test]
fn pulled_event_separates_kubelet_queue_time() {
    let recordings = recordings();
    let queued = recordings.iter().filter(|recording| {
        recording.scenario == "two-pods-two-images" && !recording.name.contains("parallel")
    });
    let mut seen = 0;
    for recording in queued {
        let waited = recording.events().any(|(_, reason, message)| {
            let kind = KubeletMessage::parse(reason, message).map(|message| message.kind);
            matches!(
                kind,
                Some(PullEventKind::Pulled { took: Some(took), took_including_waiting: Some(all), .. })
                    if all > took + Duration::from_secs(1)
            )
        });
        assert!(waited, "{}", recording.name);
        seen += 1;
    }
    assert_eq!(seen, 3);
}
