//! The kubelet's events and their meaning: the attempts of each container, and how each ended.

use std::sync::{Arc, Mutex};

use pulltrace_testkit::kubernetes::Client;
use serde_json::Value;

use crate::observed::ConsumerKey;

/// All events of pods, in order of arrival.
#[derive(Clone, Debug, Default)]
pub(crate) struct KubeletEvents(Arc<Mutex<Vec<Value>>>);

/// The result of a pull attempt.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum AttemptResult {
    /// Durations by the kubelet in seconds, without and with its queue.
    Pulled {
        took: f64,
        with_waiting: f64,
    },
    /// The image was already present.
    Present,
    Failed(String),
}

/// A container or image volume of a pod.
#[derive(Clone, Debug)]
pub(crate) struct Consumer {
    pub(crate) namespace: String,
    pub(crate) pod: String,
    pub(crate) uid: String,
    pub(crate) name: String,
    pub(crate) volume: bool,
    pub(crate) image: String,
    /// The result of each attempt; `None` if not known yet.
    pub(crate) attempts: Vec<Option<AttemptResult>>,
}

impl Consumer {
    /// Returns the key used in pull links: events of an image volume contain only the image, so
    /// links do too.
    pub(crate) fn key(&self) -> ConsumerKey {
        let name = if self.volume { &self.image } else { &self.name };
        (self.uid.clone(), name.clone())
    }
}

impl KubeletEvents {
    /// Collects events until the API server ends.
    pub(crate) async fn watch(admin: &Client) -> Self {
        let path = "/api/v1/events?fieldSelector=involvedObject.kind=Pod";
        let mut watch = admin.watch(path).await.expect("event watch");
        let events = Self::default();
        let collected = events.clone();
        tokio::spawn(async move {
            while let Some(event) = watch.next().await {
                if matches!(event["type"].as_str(), Some("ADDED" | "MODIFIED")) {
                    collected.0.lock().expect("lock is not poisoned").push(event["object"].clone());
                }
            }
        });
        events
    }

    /// Formats the events of a namespace for the log.
    pub(crate) fn lines(&self, namespace: &str) -> Vec<String> {
        let of = |event: &&Value| event["involvedObject"]["namespace"] == namespace;
        let events = self.0.lock().expect("lock is not poisoned");
        let line = |event: &Value| {
            let word = |value: &Value| value.as_str().unwrap_or("-").to_owned();
            let about = &event["involvedObject"];
            format!(
                "{} {} {} {} x{}: {}",
                word(&event["lastTimestamp"]),
                word(&about["name"]),
                word(&about["fieldPath"]),
                word(&event["reason"]),
                event["count"],
                word(&event["message"]),
            )
        };
        events.iter().filter(of).map(line).collect()
    }

    /// Returns the containers and image volumes of a pod with their attempts.
    pub(crate) fn consumers(&self, pod: &Value) -> Vec<Consumer> {
        let of = &pod["metadata"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let spec = &pod["spec"];
        let list = |name: &str| spec[name].as_array().cloned().unwrap_or_default();
        let mut wanted = Vec::new();
        for (list, kind) in
            [(list("initContainers"), "initContainers"), (list("containers"), "containers")]
        {
            for one in list {
                let path = format!("spec.{kind}{{{}}}", text(&one["name"]));
                wanted.push((text(&one["name"]), text(&one["image"]), Some(path)));
            }
        }
        for volume in list("volumes") {
            if volume["image"].is_object() {
                let image = text(&volume["image"]["reference"]);
                wanted.push((text(&volume["name"]), image, None));
            }
        }
        let events = self.0.lock().expect("lock is not poisoned");
        let mine = events.iter().filter(|event| event["involvedObject"]["uid"] == of["uid"]);
        let slot = |(name, image, path): (String, String, Option<String>)| {
            let about = mine.clone().filter(|event| match &path {
                Some(path) => event["involvedObject"]["fieldPath"] == path.as_str(),
                None => text(&event["message"]).contains(&format!("\"{image}\"")),
            });
            Consumer {
                namespace: text(&of["namespace"]),
                pod: text(&of["name"]),
                uid: text(&of["uid"]),
                attempts: parse_attempts(about),
                volume: path.is_none(),
                name,
                image,
            }
        };
        wanted.into_iter().map(slot).collect()
    }
}

fn parse_attempts<'a>(events: impl Iterator<Item = &'a Value>) -> Vec<Option<AttemptResult>> {
    let mut tries: Vec<Option<AttemptResult>> = Vec::new();
    let end = |tries: &mut Vec<Option<AttemptResult>>, end: AttemptResult| match tries.last_mut() {
        Some(last @ None) => *last = Some(end),
        _ => tries.push(Some(end)),
    };
    for event in events {
        let message = event["message"].as_str().unwrap_or_default();
        match event["reason"].as_str().unwrap_or_default() {
            "Pulling" => tries.push(None),
            // The kubelet repeats this event in every sync.
            "Pulled" if message.contains("already present") && is_present(&tries) => {}
            "Pulled" if message.contains("already present") => {
                end(&mut tries, AttemptResult::Present)
            }
            "Pulled" => {
                let (took, all) = parse_pull_times(message).unwrap_or((f64::NAN, f64::NAN));
                end(&mut tries, AttemptResult::Pulled { took, with_waiting: all });
            }
            "Failed" if message.starts_with("Failed to pull image") => {
                end(&mut tries, AttemptResult::Failed(message.to_owned()));
            }
            "InspectFailed" | "ErrImageNeverPull" => {
                // Not a new attempt: the kubelet repeats the event.
                tries.clear();
                end(&mut tries, AttemptResult::Failed(message.to_owned()));
            }
            _ => {}
        }
    }
    tries
}

fn is_present(tries: &[Option<AttemptResult>]) -> bool {
    matches!(tries.last(), Some(Some(AttemptResult::Pulled { .. } | AttemptResult::Present)))
}

/// Parses `… in 2.989s (7.434s including waiting). …`.
fn parse_pull_times(message: &str) -> Option<(f64, f64)> {
    let (_, rest) = message.rsplit_once("\" in ")?;
    let (took, rest) = rest.split_once(" (")?;
    let (all, _) = rest.split_once(" including waiting)")?;
    Some((parse_go_seconds(took)?, parse_go_seconds(all)?))
}

/// Parses a Go duration such as `1m2.5s` or `22ms`.
fn parse_go_seconds(mut text: &str) -> Option<f64> {
    let mut sum = 0.0;
    while !text.is_empty() {
        let digits = text.find(|c: char| c.is_ascii_alphabetic() || c == 'µ')?;
        let (number, rest) = text.split_at(digits);
        let unit = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let (unit, rest) = rest.split_at(unit);
        let scale = match unit {
            "h" => 3_600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "µs" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        sum += number.parse::<f64>().ok()? * scale;
        text = rest;
    }
    Some(sum)
}
