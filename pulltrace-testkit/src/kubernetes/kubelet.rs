//! What a kubelet says of pods: events, written as its recorder writes them.

use std::collections::HashMap;

use jiff::{RoundMode, Timestamp, TimestampRound, Unit};
use serde_json::{Value, json};

use super::client::{ApiError, Client};

/// Says events in the name of a node's kubelet. What it has said before, in the
/// same words and about the same, it counts up, as a kubelet does: watchers see
/// that as `MODIFIED`.
#[derive(Debug)]
pub struct Kubelet {
    client: Client,
    node: String,
    /// The path and the count of what was said, by its words.
    said: HashMap<String, (String, u64)>,
}

impl Kubelet {
    /// The kubelet of this node; the node itself need not be there.
    #[must_use]
    pub fn new(client: &Client, node: &str) -> Self {
        Self {
            client: client.clone(),
            node: node.to_owned(),
            said: HashMap::new(),
        }
    }

    /// Says something about a pod, or a part of it: `spec.containers{app}`,
    /// `spec.initContainers{setup}`. `kind` is `Normal` or `Warning`. Returns
    /// the event as it was stored.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn says(
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
        // Events have whole seconds; what is beyond them is cut off.
        let whole = TimestampRound::new()
            .smallest(Unit::Second)
            .mode(RoundMode::Floor);
        let second = at.round(whole);
        let second = second.map_err(|error| ApiError::Unreadable(format!("{at}: {error}")))?;
        let second = second.to_string();
        let words = json!([of["uid"], part, kind, reason, message]).to_string();
        if let Some((path, count)) = self.said.get_mut(&words) {
            *count += 1;
            let again = json!({"count": *count, "lastTimestamp": second});
            return self.client.merge(path, &again).await;
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
        // Two events of one pod in one nanosecond are one too many.
        let unique = at.as_nanosecond() + self.said.len() as i128;
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
        self.said.insert(words, (format!("{events}/{name}"), 1));
        Ok(stored)
    }
}
