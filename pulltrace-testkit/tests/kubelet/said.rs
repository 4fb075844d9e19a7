//! What the kubelet said, and what that means: which container tried which image how often, and how each try ended.

use std::sync::{Arc, Mutex};

use pulltrace_testkit::kubernetes::Client;
use serde_json::Value;

use crate::seen::Of;

/// All events of pods, in the order in which they came.
#[derive(Clone, Debug, Default)]
pub(crate) struct Events(Arc<Mutex<Vec<Value>>>);

/// How a try ended.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum End {
    /// How many seconds it took by the kubelet, and with its queue.
    Pulled {
        took: f64,
        all: f64,
    },
    /// It was there already.
    Present,
    Failed(String),
}

/// One container, or image volume, of a pod.
#[derive(Clone, Debug)]
pub(crate) struct Slot {
    pub(crate) namespace: String,
    pub(crate) pod: String,
    pub(crate) uid: String,
    pub(crate) name: String,
    pub(crate) volume: bool,
    pub(crate) image: String,
    /// What became of each try; `None` where that was not said yet.
    pub(crate) tries: Vec<Option<End>>,
}

impl Slot {
    /// By what rows name it: events of an image volume name only the image, and so do we.
    pub(crate) fn of(&self) -> Of {
        let name = if self.volume { &self.image } else { &self.name };
        (self.uid.clone(), name.clone())
    }
}

impl Events {
    /// Listens until the API server goes.
    pub(crate) async fn of(admin: &Client) -> Self {
        let path = "/api/v1/events?fieldSelector=involvedObject.kind=Pod";
        let mut watch = admin.watch(path).await.expect("events are watched");
        let events = Self::default();
        let heard = events.clone();
        tokio::spawn(async move {
            while let Some(event) = watch.next().await {
                if matches!(event["type"].as_str(), Some("ADDED" | "MODIFIED")) {
                    heard
                        .0
                        .lock()
                        .expect("no panic")
                        .push(event["object"].clone());
                }
            }
        });
        events
    }

    /// What it said of these pods, for people.
    pub(crate) fn told(&self, namespace: &str) -> Vec<String> {
        let of = |event: &&Value| event["involvedObject"]["namespace"] == namespace;
        let events = self.0.lock().expect("no panic");
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

    /// What it said of the images of this pod.
    pub(crate) fn slots(&self, pod: &Value) -> Vec<Slot> {
        let of = &pod["metadata"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let spec = &pod["spec"];
        let list = |name: &str| spec[name].as_array().cloned().unwrap_or_default();
        let mut wanted = Vec::new();
        for (list, kind) in [
            (list("initContainers"), "initContainers"),
            (list("containers"), "containers"),
        ] {
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
        let events = self.0.lock().expect("no panic");
        let mine = events
            .iter()
            .filter(|event| event["involvedObject"]["uid"] == of["uid"]);
        let slot = |(name, image, path): (String, String, Option<String>)| {
            let about = mine.clone().filter(|event| match &path {
                Some(path) => event["involvedObject"]["fieldPath"] == path.as_str(),
                None => text(&event["message"]).contains(&format!("\"{image}\"")),
            });
            Slot {
                namespace: text(&of["namespace"]),
                pod: text(&of["name"]),
                uid: text(&of["uid"]),
                tries: tries(about),
                volume: path.is_none(),
                name,
                image,
            }
        };
        wanted.into_iter().map(slot).collect()
    }
}

fn tries<'a>(events: impl Iterator<Item = &'a Value>) -> Vec<Option<End>> {
    let mut tries: Vec<Option<End>> = Vec::new();
    let end = |tries: &mut Vec<Option<End>>, end: End| match tries.last_mut() {
        Some(last @ None) => *last = Some(end),
        _ => tries.push(Some(end)),
    };
    for event in events {
        let message = event["message"].as_str().unwrap_or_default();
        match event["reason"].as_str().unwrap_or_default() {
            "Pulling" => tries.push(None),
            // It says so at each sync.
            "Pulled" if message.contains("already present") && there(&tries) => {}
            "Pulled" if message.contains("already present") => end(&mut tries, End::Present),
            "Pulled" => {
                let (took, all) = times(message).unwrap_or((f64::NAN, f64::NAN));
                end(&mut tries, End::Pulled { took, all });
            }
            "Failed" if message.starts_with("Failed to pull image") => {
                end(&mut tries, End::Failed(message.to_owned()));
            }
            "InspectFailed" | "ErrImageNeverPull" => {
                // It is not tried again: the same is said again.
                tries.clear();
                end(&mut tries, End::Failed(message.to_owned()));
            }
            _ => {}
        }
    }
    tries
}

fn there(tries: &[Option<End>]) -> bool {
    matches!(tries.last(), Some(Some(End::Pulled { .. } | End::Present)))
}

/// `… in 2.989s (7.434s including waiting). …`
fn times(message: &str) -> Option<(f64, f64)> {
    let (_, rest) = message.rsplit_once("\" in ")?;
    let (took, rest) = rest.split_once(" (")?;
    let (all, _) = rest.split_once(" including waiting)")?;
    Some((seconds(took)?, seconds(all)?))
}

/// A time as Go writes it: `1m2.5s`, `22ms`.
fn seconds(mut text: &str) -> Option<f64> {
    let mut sum = 0.0;
    while !text.is_empty() {
        let digits = text.find(|c: char| c.is_ascii_alphabetic() || c == 'µ')?;
        let (number, rest) = text.split_at(digits);
        let unit = rest
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(rest.len());
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
