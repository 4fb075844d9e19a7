//! Emits events about pods in the format of the kubelet's event recorder.

use std::collections::HashMap;

use jiff::{RoundMode, Timestamp, TimestampRound, Unit};
use serde_json::{Value, json};

use super::client::{ApiError, Client};

/// Emits events as a node's kubelet does. Repeating an event (same object, type, reason and
/// message) increases the count of the first one, which watchers receive as `MODIFIED`.
#[derive(Debug)]
pub struct EventRecorder {
    client: Client,
    node: String,
    /// Path and count of the events emitted so far, by content.
    emitted: HashMap<String, (String, u64)>,
}

impl EventRecorder {
    /// Records events for the kubelet of `node`, which need not exist.
    #[must_use]
    pub fn new(client: &Client, node: &str) -> Self {
        Self { client: client.clone(), node: node.to_owned(), emitted: HashMap::new() }
    }

    /// Emits an event about a pod or a part of it: `spec.containers{app}`,
    /// `spec.initContainers{setup}`. `kind` is `Normal` or `Warning`. Returns the event as stored.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn emit(
        &mut self,
        at: Timestamp,
        pod: &Value,
        part: Option<&str>,
        kind: &str,
        reason: &str,
        message: &str,
    ) -> Result<Value, ApiError> {
        let of = &pod["metadata"];
        let text = |name: &str| of[name].as_str().unwrap_or_default();
        // Timestamps of events are truncated to seconds.
        let whole = TimestampRound::new().smallest(Unit::Second).mode(RoundMode::Floor);
        let second = at.round(whole);
        let second = second.map_err(|error| ApiError::Invalid(format!("{at}: {error}")))?;
        let second = second.to_string();
        let words = json!([of["uid"], part, kind, reason, message]).to_string();
        if let Some((path, count)) = self.emitted.get_mut(&words) {
            *count += 1;
            let again = json!({"count": *count, "lastTimestamp": second});
            return self.client.merge_patch(path, &again).await;
        }
        let events = format!("/api/v1/namespaces/{}/events", text("namespace"));
        let mut about = json!({
            "kind": "Pod",
            "apiVersion": "v1",
            "namespace": of["namespace"],
            "name": of["name"],
            "uid": of["uid"],
            "resourceVersion": of["resourceVersion"],
        });
        if let Some(part) = part {
            about["fieldPath"] = part.into();
        }
        // The offset keeps names unique if two events have the same timestamp.
        let unique = at.as_nanosecond() + self.emitted.len() as i128;
        let name = format!("{}.{unique:x}", text("name"));
        let event = json!({
            "metadata": {"name": name, "namespace": of["namespace"]},
            "involvedObject": about,
            "reason": reason,
            "message": message,
            "source": {"component": "kubelet", "host": self.node},
            "firstTimestamp": second,
            "lastTimestamp": second,
            "count": 1,
            "type": kind,
            "reportingComponent": "kubelet",
            "reportingInstance": self.node,
        });
        let stored = self.client.create(&events, &event).await?;
        self.emitted.insert(words, (format!("{events}/{name}"), 1));
        Ok(stored)
    }
}
